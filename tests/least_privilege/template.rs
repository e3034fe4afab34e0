//! Resolves a template as a deployment does: tags become functions, and functions are evaluated with parameters.
//!
//! Only the features that these templates use are supported; any other stops the test.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use saphyr::{LoadableYamlNode as _, Scalar, Yaml};
use serde_json::{Map, Value, json};

/// The place of a deployment: account, Region and stack.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) account: String,
    pub(super) region: String,
    pub(super) stack: String,
    /// The ARN of the KMS key that the stack makes.
    pub(super) kms_key: String,
}

/// A template with the parameters of one deployment.
pub(super) struct Template {
    document: Value,
    place: Place,
    parameters: BTreeMap<String, Value>,
}

impl Template {
    /// Reads a file of `sam/`. Parameters that are not given get their defaults.
    pub(super) fn read(file: &str, place: &Place, given: &[(&str, &str)]) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("sam").join(file);
        let text = fs::read_to_string(&path).expect("the template is there");
        let documents = Yaml::load_from_str(&text).expect("the template is YAML");
        let document = plain(&documents[0]);
        let declared = document["Parameters"].as_object().expect("the template has parameters");
        for (name, _) in given {
            assert!(declared.contains_key(*name), "{file} has no parameter {name}");
        }
        let parameters = declared.iter().map(|(name, declaration)| {
            let given = given.iter().find(|(given, _)| given == name).map(|(_, value)| json!(value));
            let value = given.unwrap_or_else(|| declaration["Default"].clone());
            assert!(!value.is_null(), "{file}: parameter {name} needs a value");
            let text = scalar(&value);
            let is_list = declaration["Type"] == "CommaDelimitedList";
            (name.clone(), if is_list { text.split(',').map(|it| json!(it)).collect() } else { json!(text) })
        });
        Self { place: place.clone(), parameters: parameters.collect(), document }
    }

    /// Returns the resources of a type in this deployment, with resolved properties.
    pub(super) fn resources(&self, kind: &str) -> Vec<(String, Value)> {
        let resources = self.document["Resources"].as_object().expect("the template has resources");
        let made = resources.iter().filter(|(_, it)| it["Type"] == kind && self.is_made(it));
        made.map(|(name, it)| (name.clone(), self.resolve(&it["Properties"]).unwrap_or_default())).collect()
    }

    fn is_made(&self, resource: &Value) -> bool {
        resource["Condition"].as_str().is_none_or(|name| self.condition(name))
    }

    fn condition(&self, name: &str) -> bool {
        let condition = &self.document["Conditions"][name];
        assert!(!condition.is_null(), "no condition {name}");
        self.truth(condition)
    }

    fn truth(&self, condition: &Value) -> bool {
        let (function, argument) = function(condition).expect("a condition is a function");
        let arguments = || argument.as_array().expect("a list of conditions");
        match function {
            "Condition" => self.condition(&scalar(argument)),
            "Fn::Equals" => self.text(&argument[0]) == self.text(&argument[1]),
            "Fn::Not" => !self.truth(&argument[0]),
            "Fn::And" => arguments().iter().all(|it| self.truth(it)),
            "Fn::Or" => arguments().iter().any(|it| self.truth(it)),
            _ => panic!("unknown function {function} in a condition"),
        }
    }

    fn text(&self, value: &Value) -> String {
        scalar(&self.resolve(value).expect("a value"))
    }

    /// Returns the value without functions; `None` for `AWS::NoValue`.
    pub(super) fn resolve(&self, value: &Value) -> Option<Value> {
        if let Some((function, argument)) = function(value) {
            return self.call(function, argument);
        }
        Some(match value {
            Value::Object(members) => members
                .iter()
                .filter_map(|(name, member)| Some((name.clone(), self.resolve(member)?)))
                .collect::<Map<_, _>>()
                .into(),
            Value::Array(items) => items.iter().filter_map(|item| self.resolve(item)).collect(),
            other => other.clone(),
        })
    }

    fn call(&self, function: &str, argument: &Value) -> Option<Value> {
        match function {
            "Ref" => self.reference(&scalar(argument)),
            "Fn::If" => self.resolve(&argument[if self.condition(&scalar(&argument[0])) { 1 } else { 2 }]),
            "Fn::Sub" => Some(json!(self.substituted(argument))),
            "Fn::GetAtt" => Some(json!(self.attribute(&scalar(argument)))),
            "Fn::Select" => {
                let items = self.resolve(&argument[1])?;
                let position: usize = self.text(&argument[0]).parse().expect("a position");
                Some(items.get(position).expect("so many items").clone())
            }
            "Fn::Split" => {
                let (separator, text) = (self.text(&argument[0]), self.text(&argument[1]));
                Some(text.split(&separator).map(|part| json!(part)).collect())
            }
            "Fn::Join" => {
                let parts = self.resolve(&argument[1])?;
                let parts: Vec<String> = parts.as_array().expect("a list to join").iter().map(scalar).collect();
                Some(json!(parts.join(&scalar(&argument[0]))))
            }
            _ => panic!("unknown function {function}"),
        }
    }

    fn reference(&self, name: &str) -> Option<Value> {
        let value = match name {
            "AWS::NoValue" => return None,
            "AWS::AccountId" => self.place.account.clone(),
            "AWS::Region" => self.place.region.clone(),
            "AWS::StackName" => self.place.stack.clone(),
            "AWS::Partition" => "aws".to_owned(),
            "AWS::URLSuffix" => "amazonaws.com".to_owned(),
            _ => match self.parameters.get(name) {
                Some(value) => return Some(value.clone()),
                None => self.physical_id(name),
            },
        };
        Some(json!(value))
    }

    /// `Fn::Sub`: `${Name}`, `${Name.Attribute}`, and `${!literally}`.
    fn substituted(&self, argument: &Value) -> String {
        let (pattern, local) = match argument {
            Value::Array(both) => (scalar(&both[0]), both[1].clone()),
            pattern => (scalar(pattern), Value::Null),
        };
        let mut parts = pattern.split("${");
        let mut text = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let (name, rest) = part.split_once('}').expect("a closing brace");
            let value = match name.strip_prefix('!') {
                Some(literal) => format!("${{{literal}}}"),
                None if !local[name].is_null() => self.text(&local[name]),
                None if name.contains('.') => self.attribute(name),
                None => self.text(&json!({ "Ref": name })),
            };
            text += &value;
            text += rest;
        }
        text
    }

    fn resource(&self, name: &str) -> (&str, &Value) {
        let resource = &self.document["Resources"][name];
        (resource["Type"].as_str().unwrap_or_else(|| panic!("no resource {name}")), &resource["Properties"])
    }

    /// Returns the value of `Ref` for a resource.
    fn physical_id(&self, name: &str) -> String {
        let (kind, properties) = self.resource(name);
        let member = match kind {
            "AWS::IAM::Role" => "RoleName",
            "AWS::IAM::Group" => "GroupName",
            "AWS::Logs::LogGroup" => "LogGroupName",
            "AWS::Serverless::Function" => "FunctionName",
            "AWS::Serverless::StateMachine" => {
                return self.arn("states", &format!("stateMachine:{}-sweep", self.place.stack));
            }
            "AWS::SNS::Topic" => return self.arn("sns", &self.text(&properties["TopicName"])),
            "AWS::IAM::ManagedPolicy" | "AWS::SQS::Queue" => return name.to_owned(),
            _ => panic!("Ref of a {kind} is unknown"),
        };
        // CloudFormation names a resource that has no name property.
        if properties[member].is_null() { name.to_owned() } else { self.text(&properties[member]) }
    }

    fn attribute(&self, path: &str) -> String {
        let (name, attribute) = path.split_once('.').expect("resource and attribute");
        assert_eq!(attribute, "Arn", "{path}: only ARNs are known");
        let (kind, properties) = self.resource(name);
        match kind {
            "AWS::IAM::Role" => self.iam_arn(&format!("role/{}", self.physical_id(name))),
            "AWS::IAM::Group" => self.iam_arn(&format!("group/{}", self.physical_id(name))),
            "AWS::Serverless::Function" => self.arn("lambda", &format!("function:{}", self.physical_id(name))),
            "AWS::SQS::Queue" => self.arn("sqs", &self.text(&properties["QueueName"])),
            "AWS::Events::Rule" => self.arn("events", &format!("rule/{}", self.text(&properties["Name"]))),
            "AWS::Logs::LogGroup" => self.arn("logs", &format!("log-group:{}:*", self.physical_id(name))),
            "AWS::KMS::Key" => self.place.kms_key.clone(),
            _ => panic!("the ARN of a {kind} is unknown"),
        }
    }

    fn arn(&self, service: &str, resource: &str) -> String {
        format!("arn:aws:{service}:{}:{}:{resource}", self.place.region, self.place.account)
    }

    /// IAM's ARNs have no Region.
    pub(super) fn iam_arn(&self, resource: &str) -> String {
        format!("arn:aws:iam::{}:{resource}", self.place.account)
    }
}

/// Returns the one member of an object that is a function call.
fn function(value: &Value) -> Option<(&str, &Value)> {
    let members = value.as_object()?;
    let (name, argument) = members.iter().next().filter(|_| members.len() == 1)?;
    let is_function = name == "Ref" || name.starts_with("Fn::") || (name == "Condition" && argument.is_string());
    is_function.then_some((name, argument))
}

/// Returns a string, number or boolean as text.
pub(super) fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(_) | Value::Bool(_) => value.to_string(),
        _ => panic!("{value} is no text"),
    }
}

/// Converts YAML to JSON; a tag becomes the function that it abbreviates.
fn plain(node: &Yaml<'_>) -> Value {
    match node {
        Yaml::Value(Scalar::Null) => Value::Null,
        Yaml::Value(Scalar::Boolean(truth)) => json!(truth),
        Yaml::Value(Scalar::Integer(number)) => json!(number),
        Yaml::Value(Scalar::String(text)) => json!(text),
        Yaml::Sequence(items) => items.iter().map(plain).collect(),
        Yaml::Mapping(members) => members.iter().map(|(name, value)| (scalar(&plain(name)), plain(value))).collect(),
        Yaml::Tagged(tag, node) => match tag.suffix.as_str() {
            name @ ("Ref" | "Condition") => json!({ name: plain(node) }),
            name => json!({ format!("Fn::{name}"): plain(node) }),
        },
        other => panic!("unexpected YAML: {other:?}"),
    }
}
