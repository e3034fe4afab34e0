// Lints mails: HTML and its accessibility (html-validate), support by mail programs (caniemail), size, and that they load
// nothing and hold no text of which a mail program makes a link. Then plants an error of each kind into a mail, which has to be found.
//
// usage: node lint.mjs FOLDER...
import { readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { caniemail } from "caniemail";
import { HtmlValidate, StaticConfigLoader } from "html-validate";

// Gmail hides everything beyond this size: https://developers.google.com/gmail/design/css
const MOST_BYTES = 100_000;

const validator = new HtmlValidate(
  new StaticConfigLoader({
    root: true,
    extends: ["html-validate:recommended"],
    rules: {
      // Mails use attributes where pages use style sheets, because Outlook supports little else.
      "no-inline-style": "off",
      "no-deprecated-attr": "off",
      "no-conditional-comment": "off",
      // The title repeats the subject, which may be longer than a page's title.
      "long-title": "off",
      "prefer-tbody": "off",
      "heading-level": "error",
      "doctype-style": ["error", { style: "lowercase" }],
    },
  }),
);

const CLIENTS = ["gmail.*", "apple-mail.*", "outlook.*"];
// Features that some of these programs lack. Without them the mail is plainer and says the same.
const MAY_BE_MISSING = new Set([
  "color-scheme CSS property", // light in a dark program
  "color-scheme meta tag",
  "@media", // a phone shows the layout of a desktop, 100 % wide
  "<style> element", // all that matters stands in attributes
  "<body> element", // the table inside has the same ground
  "display:none", // the preheader is a line at the top
  "max-height property",
  "overflow",
  "table-layout", // widths go by content
  "border-radius", // corners
  "white-space", // a snippet on one line
  "word-break", // a long ARN widens its box
  "role attribute", // Windows Mail has been withdrawn
]);

// The addresses and files that keywheel itself names.
const OWN = /^(owner|keys)@example\.com$|^keywheel-notices-[0-9-]+\.csv$/;

// The words outside of commands of which mail programs make links: addresses and host names.
function links(html) {
  const body = html.replace(/<head>.*?<\/head>/s, " ").replace(/<pre\b.*?<\/pre>/gs, " ").replace(/<[^>]*>/g, " ");
  const words = body.split(/[\s()]+/).map((word) => word.replace(/[,.]+$/, ""));
  return words.filter((word) => /:\/\/|www\.|[\w.-]@[\p{L}\p{N}]|[\p{L}\p{N}-]\.\p{L}{2,}/u.test(word) && !OWN.test(word));
}

async function problems(html) {
  const found = [];
  const report = await validator.validateString(html);
  for (const message of report.results.flatMap((result) => result.messages)) {
    found.push(`line ${message.line}: ${message.ruleId}: ${message.message}`);
  }
  const missing = new Map();
  for (const [client, issues] of caniemail({ clients: CLIENTS, html }).issues.errors) {
    for (const { title } of issues.filter((issue) => !MAY_BE_MISSING.has(issue.title))) {
      missing.set(title, (missing.get(title) ?? new Set()).add(client));
    }
  }
  for (const [title, clients] of missing) {
    found.push(`caniemail: ${title} is not supported by ${[...clients].join(", ")}`);
  }
  const loaded = html.match(/\ssrc=|\sbackground=|<(link|img|script|iframe|object|form|base)\b|url\(|@import|@font-face/i);
  if (loaded) found.push(`loads or runs something: ${loaded[0].trim()}`);
  const linked = links(html);
  if (linked.length) found.push(`mail programs make links of ${linked.join(", ")}`);
  const bytes = Buffer.byteLength(html);
  if (bytes >= MOST_BYTES) found.push(`${bytes} bytes, and ${MOST_BYTES} are too many`);
  for (const wanted of ['<html lang="en">', "<title>", "<h1", "prefers-color-scheme: dark", 'role="presentation"']) {
    if (!html.includes(wanted)) found.push(`lacks ${wanted}`);
  }
  return found;
}

const PLANTED = {
  "a tag that is not closed": [(html) => html.replace("</h1>", ""), "close-order"],
  "a heading that skips a level": [(html) => html.replaceAll("<h2", "<h4").replaceAll("</h2>", "</h4>"), "heading-level"],
  "a layout table that says it is one of data": [(html) => html.replaceAll(' role="presentation"', ""), "lacks role"],
  "an image from elsewhere": [(html) => html.replace("<h1", '<img alt="" src="https://example.com/a.png"><h1'), "loads"],
  "a font from elsewhere": [(html) => html.replace("</style>", "@import url(a.css);</style>"), "loads"],
  "a layout that Outlook does not know": [(html) => html.replace("<h1 ", '<h1 data-x="" ').replace("margin:0; font-size:24px", "display:grid; font-size:24px"), "caniemail: display:grid"],
  "a mail that Gmail cuts": [(html) => html.replace("</h1>", `${"x".repeat(MOST_BYTES)}</h1>`), "too many"],
  "a user named like a host": [(html) => html.replace("</h1>", " of pay.example.com</h1>"), "make links of pay.example.com"],
  "an account named like a page": [(html) => html.replace("</h1>", " in https://x</h1>"), "make links of https://x"],
  "no language": [(html) => html.replace(' lang="en"', ""), "lacks <html lang"],
};

let failed = 0;
let linted = 0;
let planted_in;
for (const folder of process.argv.slice(2)) {
  for (const file of readdirSync(folder).filter((name) => name.endsWith(".html") && name !== "index.html").sort()) {
    const html = readFileSync(join(folder, file), "utf8");
    planted_in ??= html;
    for (const problem of await problems(html)) {
      console.error(`${basename(folder)}/${file}: ${problem}`);
      failed += 1;
    }
    linted += 1;
  }
}
if (!planted_in) throw new Error("there is no mail to lint");
for (const [what, [plant, wanted]] of Object.entries(PLANTED)) {
  const found = await problems(plant(planted_in));
  if (!found.some((problem) => problem.includes(wanted))) {
    console.error(`${what}, planted, was not found: ${found.join("; ")}`);
    failed += 1;
  }
}
console.log(`${linted} mails linted, ${failed} problems; ${Object.keys(PLANTED).length} errors were planted`);
process.exitCode = failed ? 1 : 0;
