"""Expands a SAM template as CloudFormation does, and writes the parts that linters cannot find in a template.

usage: expand.py TEMPLATE FOLDER        (run by SAM's own Python, which has the transform)

FOLDER/template.json        the template after the transform, with the state machine's definition as an object in it
FOLDER/definition.json      the state machine's definition, its ${} replaced, if there is one
FOLDER/policies/*.json      every policy document, references replaced by values that look like real ones
"""

import json
import os
import re
import sys
from pathlib import Path

from samcli.yamlhelper import yaml_parse
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator

REGION = "eu-central-1"
PSEUDO = {
    "AWS::AccountId": "999988887777",
    "AWS::Partition": "aws",
    "AWS::Region": REGION,
    "AWS::StackName": "keywheel",
    "AWS::URLSuffix": "amazonaws.com",
    "AWS::StackId": f"arn:aws:cloudformation:{REGION}:999988887777:stack/keywheel/1",
}
PARAMETERS = {
    "OrganizationId": "o-keywheel0001",
    "SenderEmail": "keys@example.com",
    "SesDomain": "example.com",
    "SesRegion": "eu-central-1",
    "SesConfigurationSet": "keywheel",
    "MailRecipients": "*@example.com",
    "NoticeTopicArn": f"arn:aws:sns:{REGION}:999988887777:notices",
    "NoticeTopicKmsKeyArn": f"arn:aws:kms:{REGION}:999988887777:key/0a1b2c3d-0000-4000-8000-000000000001",
    "OrgListRoleArn": "arn:aws:iam::111122223333:role/list-accounts",
    "PrimaryAccountId": "999988887777",
    "SecretsRegion": REGION,
    "SecretsKeyArn": f"arn:aws:kms:{REGION}:999988887777:key/0a1b2c3d-0000-4000-8000-000000000000",
}
ARNS = {
    "AWS::IAM::Group": "arn:aws:iam::999988887777:group/{name}",
    "AWS::IAM::Role": "arn:aws:iam::999988887777:role/{name}",
    "AWS::KMS::Key": f"arn:aws:kms:{REGION}:999988887777:key/0a1b2c3d-0000-4000-8000-000000000000",
    "AWS::Events::Rule": f"arn:aws:events:{REGION}:999988887777:rule/{{name}}",
    "AWS::Lambda::Function": f"arn:aws:lambda:{REGION}:999988887777:function:{{name}}",
    "AWS::Logs::LogGroup": f"arn:aws:logs:{REGION}:999988887777:log-group:{{name}}:*",
    "AWS::SNS::Topic": f"arn:aws:sns:{REGION}:999988887777:{{name}}",
    "AWS::SQS::Queue": f"arn:aws:sqs:{REGION}:999988887777:{{name}}",
    "AWS::StepFunctions::StateMachine": f"arn:aws:states:{REGION}:999988887777:stateMachine:{{name}}",
}
# Types whose Ref returns the ARN.
REF_IS_ARN = {"AWS::SNS::Topic", "AWS::StepFunctions::StateMachine"}


class Resolver:
    """References → values; `conditions` says which way every condition goes."""

    def __init__(self, template, conditions):
        self.template, self.conditions = template, conditions

    def parameter(self, name):
        declared = self.template.get("Parameters", {}).get(name)
        if declared is None:
            return None
        return str(PARAMETERS.get(name, declared.get("Default", "")))

    def arn(self, name):
        kind = self.template["Resources"][name]["Type"]
        if kind not in ARNS:
            raise SystemExit(f"expand.py does not know the ARN of a {kind} ({name})")
        return ARNS[kind].format(name=name)

    def ref(self, name):
        if name in PSEUDO:
            return PSEUDO[name]
        value = self.parameter(name)
        if value is not None:
            return value
        if name not in self.template["Resources"]:
            raise SystemExit(f"nothing is called {name}")
        return self.arn(name) if self.template["Resources"][name]["Type"] in REF_IS_ARN else name

    def sub(self, argument):
        text, variables = argument if isinstance(argument, list) else (argument, {})
        variables = {name: self.value(value) for name, value in variables.items()}

        def replace(match):
            name = match.group(1)
            if name.startswith("!"):
                return "${" + name[1:] + "}"
            if name in variables:
                return variables[name]
            if name.endswith(".Arn"):
                return self.arn(name.removesuffix(".Arn"))
            return self.ref(name)

        return re.sub(r"\$\{([^}]+)\}", replace, text)

    def value(self, value):
        if isinstance(value, list):
            return [item for item in map(self.value, value) if item is not None]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            (name, argument), = value.items()
            if name == "Ref":
                return None if argument == "AWS::NoValue" else self.ref(argument)
            if name == "Fn::Sub":
                return self.sub(argument)
            if name == "Fn::GetAtt":
                resource, attribute = argument if isinstance(argument, list) else argument.split(".", 1)
                return self.arn(resource) if attribute == "Arn" else f"{resource}-{attribute}"
            if name == "Fn::Select":
                return self.value(argument[1])[int(argument[0])]
            if name == "Fn::Split":
                return self.value(argument[1]).split(argument[0])
            if name == "Fn::If":
                return self.value(argument[1 if self.conditions else 2])
        return {name: item for name, item in ((n, self.value(v)) for n, v in value.items()) if item is not None}


def policies(resource):
    """The policy documents of one resource, each with a name."""
    properties = resource.get("Properties", {})
    for key in ("PolicyDocument", "AssumeRolePolicyDocument", "KeyPolicy"):
        if key in properties:
            yield key, properties[key]
    for policy in properties.get("Policies") or []:
        yield "Policy-" + policy["PolicyName"], policy["PolicyDocument"]


def definition_of(properties, folder, resolver):
    """The state machine's definition and the same with its ${} replaced: numbers stand there without quotes."""
    text = (folder / properties["DefinitionUri"]).read_text()
    substitutions = {name: str(resolver.value(value)) for name, value in properties["DefinitionSubstitutions"].items()}
    unknown = set(re.findall(r"\$\{([^}]+)\}", text)) - {""} - set(substitutions)
    unused = [name for name in substitutions if "${" + name + "}" not in text]
    if unknown or unused:
        raise SystemExit(f"definition: without a value {sorted(unknown)}, without a use {unused}")
    for name, value in substitutions.items():
        text = text.replace("${" + name + "}", value)
    return json.loads(text)


def main(template_path, out):
    path, out = Path(template_path), Path(out)
    template = yaml_parse(path.read_text())
    raw = Resolver(template, True)
    (out / "policies").mkdir(parents=True, exist_ok=True)
    definition = None
    for name, resource in template["Resources"].items():
        properties = resource.get("Properties", {})
        if "CodeUri" in properties:
            properties["CodeUri"] = f"s3://bucket/{name}.zip"
        if "TemplateURL" in properties:
            properties["TemplateURL"] = f"https://bucket.s3.amazonaws.com/{name}.yaml"
        if resource["Type"] == "AWS::Serverless::StateMachine":
            # The types are those before the transform.
            ARNS["AWS::Serverless::Function"] = ARNS["AWS::Lambda::Function"]
            definition = definition_of(properties, path.parent, raw)
            del properties["DefinitionUri"]
            properties["Definition"] = definition
    defaults = {name: str(it.get("Default", "")) for name, it in template.get("Parameters", {}).items()}
    if template.get("Transform"):
        # The transform asks the environment for a Region, too.
        os.environ["AWS_DEFAULT_REGION"] = REGION
        values = defaults | {"AWS::Region": REGION, "AWS::Partition": "aws"}
        template = Translator({}, Parser()).translate(template, values)
    for resource in template["Resources"].values():
        properties = resource.get("Properties", {})
        if resource["Type"] == "AWS::StepFunctions::StateMachine":
            # As an object: in a text no linter sees a mistake.
            properties.pop("DefinitionString", None)
            properties["Definition"] = definition
    (out / "template.json").write_text(json.dumps(template, indent=1))
    if definition:
        (out / "definition.json").write_text(json.dumps(definition, indent=1))
    for name, resource in template["Resources"].items():
        for which, document in policies(resource):
            both = [Resolver(template, conditions).value(document) for conditions in (True, False)]
            for index, resolved in enumerate(both[: 2 if both[0] != both[1] else 1]):
                (out / "policies" / f"{name}-{which}-{index}.json").write_text(json.dumps(resolved, indent=1))


if __name__ == "__main__":
    main(*sys.argv[1:])
