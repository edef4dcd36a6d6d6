"""Guards over the templates: what may cost, who may do what, and that nothing which fails is lost."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from samtranslator.yaml_helper import yaml_parse  # type: ignore[import-untyped]

ROOT = Path(__file__).resolve().parents[2]
CHILDREN = ("storage", "sftp", "email", "alarms", "sign-in")
# What AWS charges for by use alone, or not at all. Only sftp.yaml may have more.
FREE_WHEN_IDLE = {
    "AWS::ApiGatewayV2::Api",
    "AWS::ApiGatewayV2::Integration",
    "AWS::ApiGatewayV2::Route",
    "AWS::ApiGatewayV2::Stage",
    "AWS::CloudFormation::Stack",
    "AWS::CloudWatch::Alarm",
    "AWS::DynamoDB::Table",
    "AWS::Events::Rule",
    "AWS::IAM::ManagedPolicy",
    "AWS::IAM::Role",
    "AWS::Lambda::Permission",
    "AWS::Logs::LogGroup",
    "AWS::S3::Bucket",
    "AWS::S3::BucketPolicy",
    "AWS::SES::ReceiptRule",
    "AWS::SES::ReceiptRuleSet",
    "AWS::SNS::Subscription",
    "AWS::SNS::Topic",
    "AWS::SNS::TopicPolicy",
    "AWS::SQS::Queue",
    "AWS::SQS::QueuePolicy",
    "AWS::Serverless::Function",
    "AWS::Serverless::LayerVersion",
    "AWS::Serverless::StateMachine",
}
FREE_ALARMS = 10
LOCAL_ONLY = {
    "CLOCK_OFFSET_SECONDS",
    "KEEP_ENVELOPES",
    "ALLOW_PRIVATE_HOSTS",
    "OUTWARD",
    "SALESFORCE_CONNECT",
    "SALESFORCE_CA",
}


def parsed(path: str) -> dict[str, Any]:
    template: dict[str, Any] = yaml_parse((ROOT / path).read_text())
    return template


TEMPLATE = parsed("template.yaml")
NESTED = {name: parsed(f"infra/{name}.yaml") for name in CHILDREN}


def of_type(template: dict[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    return {
        name: resource.get("Properties", {})
        for name, resource in template["Resources"].items()
        if resource["Type"] == kind
    }


FUNCTIONS = of_type(TEMPLATE, "AWS::Serverless::Function")
QUEUES = of_type(TEMPLATE, "AWS::SQS::Queue")


def events(kind: str) -> list[tuple[str, dict[str, Any]]]:
    return [
        (function, event["Properties"])
        for function, properties in FUNCTIONS.items()
        for event in properties.get("Events", {}).values()
        if event["Type"] == kind
    ]


def test_cfn_lint_has_nothing_to_say() -> None:
    paths = ["template.yaml", *(f"infra/{name}.yaml" for name in CHILDREN)]
    lint = subprocess.run([Path(sys.executable).parent / "cfn-lint", *paths], cwd=ROOT, capture_output=True, text=True)
    assert lint.returncode == 0, lint.stdout + lint.stderr


def test_every_function_folder_is_deployed_and_every_function_has_its_folder() -> None:
    folders = {f"functions/{app.parent.name}/" for app in ROOT.glob("functions/*/app.py")}
    assert {properties["CodeUri"] for properties in FUNCTIONS.values()} == folders


def test_a_new_layer_or_setting_reaches_the_alias_that_is_called() -> None:
    assert TEMPLATE["Globals"]["Function"]["AutoPublishAlias"] == "live"
    assert TEMPLATE["Resources"]["SharedLayer"]["Properties"]["PublishLambdaVersion"] is True
    for name, properties in FUNCTIONS.items():
        assert properties["AutoPublishAliasAllProperties"] is True, name
        assert properties["AutoPublishCodeSha256"] == {"Ref": "Release"}, name


# Nothing that fails is lost


def asynchronous() -> set[str]:
    """The functions that something calls without waiting for their answer."""
    by_rule = {function for kind in ("EventBridgeRule", "ScheduleV2") for function, _ in events(kind)}
    return by_rule | {"InboundEmailFunction", "SalesforceFunction"}


def test_every_function_called_asynchronously_has_a_place_for_what_fails() -> None:
    for name in asynchronous():
        failed = FUNCTIONS[name]["EventInvokeConfig"]["DestinationConfig"]["OnFailure"]
        assert failed["Type"] == "SQS" and buried(failed["Destination"]) in QUEUES, name


@pytest.mark.parametrize("kind", ["EventBridgeRule", "ScheduleV2"])
def test_every_rule_and_schedule_has_a_place_for_what_it_could_not_deliver(kind: str) -> None:
    assert events(kind)
    for function, properties in events(kind):
        assert buried(properties["DeadLetterConfig"]["Arn"]) in QUEUES, function


def test_every_queue_that_is_worked_on_has_a_dead_letter_queue_and_time_enough() -> None:
    assert {properties["Queue"]["Fn::GetAtt"][0] for _, properties in events("SQS")} == {
        "AnswersQueue",
        "PullsQueue",
        "WritebacksQueue",
    }
    for function, properties in events("SQS"):
        queue = QUEUES[properties["Queue"]["Fn::GetAtt"][0]]
        assert buried(queue["RedrivePolicy"]["deadLetterTargetArn"]) in QUEUES
        timeout = FUNCTIONS[function].get("Timeout", TEMPLATE["Globals"]["Function"]["Timeout"])
        assert queue["VisibilityTimeout"] >= 6 * timeout, function
        assert properties["FunctionResponseTypes"] == ["ReportBatchItemFailures"], function


def test_the_stream_has_a_place_for_what_could_not_be_parked() -> None:
    ((_, stream),) = events("DynamoDB")
    assert buried(stream["DestinationConfig"]["OnFailure"]["Destination"]) in QUEUES


def buried(arn: dict[str, Any]) -> str:
    queue, attribute = arn["Fn::GetAtt"]
    assert attribute == "Arn" and queue.endswith("Dead")
    return str(queue)


def test_every_place_where_something_lies_has_an_alarm_and_all_alarms_are_free() -> None:
    given = TEMPLATE["Resources"]["Alarms"]["Properties"]["Parameters"]
    watched = {name: value["Fn::GetAtt"][0] for name, value in given.items() if "Fn::GetAtt" in value}
    alarms = of_type(NESTED["alarms"], "AWS::CloudWatch::Alarm")
    alarmed = {watched[alarm["Dimensions"][0]["Value"]["Ref"]] for alarm in alarms.values()}
    assert alarmed == {name for name in QUEUES if name.endswith("Dead")} | {"ParkedQueue"}
    assert len(alarms) <= FREE_ALARMS
    assert all(alarm["AlarmActions"] == [{"Ref": "Topic"}] for alarm in alarms.values())


# Nobody may do more than they must


def statements() -> Iterator[tuple[str, dict[str, Any]]]:
    for name, properties in of_type(TEMPLATE, "AWS::IAM::ManagedPolicy").items():
        yield from ((name, statement) for statement in map(present, properties["PolicyDocument"]["Statement"]))
    for name, role in of_type(TEMPLATE, "AWS::IAM::Role").items():
        for policy in role["Policies"]:
            yield from ((name, statement) for statement in policy["PolicyDocument"]["Statement"])
    for name, function in FUNCTIONS.items():
        for policy in function["Policies"]:
            if "Statement" in policy:
                yield from ((name, statement) for statement in map(present, policy["Statement"]))


def present(statement: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = statement["Fn::If"][1] if "Fn::If" in statement else statement
    return found


def in_the_cloud(resource: Any) -> Any:
    if isinstance(resource, dict) and "Fn::If" in resource:
        condition, local, cloud = resource["Fn::If"]
        assert condition == "IsLocal"
        return local if cloud == {"Ref": "AWS::NoValue"} else cloud
    return resource


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


WITHOUT_RESOURCE = ["ses:DescribeActiveReceiptRuleSet", "ses:GetIdentityDkimAttributes"]
"""What AWS lets nobody limit: settings of SES, to be read only."""


LOCAL_STATEMENTS = ["SecretsByPath"]
"""Statements that only the embedded AWS gets, for it asks for a right without saying on what."""


def test_what_only_the_embedded_aws_asks_for_is_not_given_in_the_cloud() -> None:
    text = (ROOT / "template.yaml").read_text("utf-8")
    for sid in LOCAL_STATEMENTS:
        before, _, after = text.partition(f"{{ Sid: {sid},")
        assert before.split()[-3:] == ["-", "IsLocal", "-"]
        assert after.splitlines()[1].strip() == "- !Ref AWS::NoValue"


def test_no_policy_has_a_wildcard_action_or_resource() -> None:
    assert len(list(statements())) > 20
    for name, statement in statements():
        for action in listed(statement["Action"]):
            assert "*" not in action, (name, action)
        if listed(statement["Action"]) == WITHOUT_RESOURCE or statement.get("Sid") in LOCAL_STATEMENTS:
            continue
        for resource in map(in_the_cloud, listed(statement["Resource"])):
            assert resource != "*", name
            text = str(resource.get("Fn::Sub", "")) if isinstance(resource, dict) else resource
            # Below a prefix of the inbox, the secrets of this installation, or the ways of its large files.
            ends = ("/*", "-take-file:*")
            assert text.count("*") <= 1 and (not text.endswith("*") or text.endswith(ends)), (name, text)
            assert "InboxArn}/*" not in text, name


def test_every_function_says_what_it_may_do() -> None:
    assert all(function["Policies"] for function in FUNCTIONS.values())


def test_nothing_but_sftp_costs_money_while_nothing_happens() -> None:
    for template in (TEMPLATE, NESTED["storage"], NESTED["email"], NESTED["alarms"]):
        assert {resource["Type"] for resource in template["Resources"].values()} <= FREE_WHEN_IDLE
    assert TEMPLATE["Parameters"]["EnableSftp"]["Default"] == "false"
    assert TEMPLATE["Resources"]["Sftp"]["Condition"] == "HasSftp"
    assert TEMPLATE["Parameters"]["EnableSignIn"]["Default"] == "false"
    assert TEMPLATE["Resources"]["SignIn"]["Condition"] == "HasSignIn"
    assert not {
        properties.get("UserPoolAddOns") for properties in of_type(NESTED["sign-in"], "AWS::Cognito::UserPool").values()
    } - {None}
    assert NESTED["storage"]["Resources"]["Ledger"]["Properties"]["BillingMode"] == "PAY_PER_REQUEST"


def test_what_is_kept_outlives_the_stack() -> None:
    for name in ("Ledger", "Inbox"):
        assert NESTED["storage"]["Resources"][name]["DeletionPolicy"] == "Retain"
        assert NESTED["storage"]["Resources"][name]["UpdateReplacePolicy"] == "Retain"
    assert TEMPLATE["Resources"]["Storage"]["DeletionPolicy"] == "Retain"


def test_an_active_receipt_rule_set_is_never_taken_over() -> None:
    # CloudFormation cannot activate a rule set, only a custom resource or a function could.
    types = {resource["Type"] for resource in NESTED["email"]["Resources"].values()}
    assert types == {"AWS::SES::ReceiptRuleSet", "AWS::SES::ReceiptRule", "AWS::Lambda::Permission"}
    assert all("SetActiveReceiptRuleSet" not in str(statement) for _, statement in statements())


def test_what_only_the_local_hub_may_set_is_absent_in_the_cloud() -> None:
    variables = TEMPLATE["Globals"]["Function"]["Environment"]["Variables"]
    assert set(variables) >= LOCAL_ONLY
    for name in LOCAL_ONLY:
        condition, _, otherwise = variables[name]["Fn::If"]
        assert otherwise == {"Ref": "AWS::NoValue"}, name
        needs = TEMPLATE["Conditions"][condition]
        assert condition == "IsLocal" or {"Condition": "IsLocal"} in needs["Fn::And"], name


# The front door


def routes() -> dict[str, str]:
    """Route key → the function that answers."""
    integrations = of_type(TEMPLATE, "AWS::ApiGatewayV2::Integration")
    found = {}
    for route in of_type(TEMPLATE, "AWS::ApiGatewayV2::Route").values():
        integration = route["Target"]["Fn::Sub"].removeprefix("integrations/${").removesuffix("}")
        found[route["RouteKey"]] = integrations[integration]["IntegrationUri"]["Ref"]
    return found


def test_every_operation_of_the_openapi_document_has_a_route_and_the_reverse() -> None:
    document = yaml.safe_load((ROOT / "infra/openapi.yaml").read_text())
    operations = {
        f"{method.upper()} {path}"
        for path, methods in document["paths"].items()
        for method in methods
        if method in {"get", "put", "post", "delete", "patch"}
    }
    assert len(operations) > 10
    for operation in operations:
        assert operation in routes() or operation.split(" ")[1].startswith("/v1/"), operation
    pages = {key for key, function in routes().items() if function == "ConsoleFunction.Alias"}
    assert {key for key in routes() if "{proxy+}" not in key} - pages - {"$default"} <= operations


def test_each_route_leads_to_its_function_and_may_call_it() -> None:
    assert routes() == {
        "POST /v1/programs/{program}/hooks/{source}": "WebhookFunction.Alias",
        "POST /v1/programs/{program}/salesforce/{source}/{token}": "SalesforceFunction.Alias",
        "ANY /v1/{proxy+}": "ApiFunction.Alias",
        "GET /": "ConsoleFunction.Alias",
        "GET /console": "ConsoleFunction.Alias",
        "ANY /console/{proxy+}": "ConsoleFunction.Alias",
        "ANY /my/{proxy+}": "ConsoleFunction.Alias",
        "GET /static/{proxy+}": "ConsoleFunction.Alias",
        "GET /openapi.json": "ApiFunction.Alias",
        "GET /healthz": "ApiFunction.Alias",
        "$default": "ApiFunction.Alias",
    }
    permissions = of_type(TEMPLATE, "AWS::Lambda::Permission").values()
    allowed = {
        permission["FunctionName"]["Ref"]
        for permission in permissions
        if permission["Principal"] == "apigateway.amazonaws.com"
    }
    assert allowed == set(routes().values())


def test_a_browser_may_put_a_file_into_the_inbox_and_nothing_else() -> None:
    (rule,) = NESTED["storage"]["Resources"]["Inbox"]["Properties"]["CorsConfiguration"]["CorsRules"]
    assert (rule["AllowedMethods"], rule["AllowedHeaders"]) == (["PUT"], ["content-type"])


def test_every_step_of_a_large_file_names_its_function() -> None:
    """Of what YAML only refers to again, the translator puts the function's name into one place and no other."""

    def named(value: Any) -> Iterator[int]:
        if isinstance(value, dict):
            if len(value) == 1 and next(iter(value)) in ("Ref", "Fn::Sub", "Fn::GetAtt"):
                yield id(value)
            for inner in value.values():
                yield from named(inner)
        elif isinstance(value, list):
            for inner in value:
                yield from named(inner)

    for machine in of_type(TEMPLATE, "AWS::Serverless::StateMachine").values():
        found = list(named(machine["Definition"]))
        assert len(found) == len(set(found)) > 4


def test_who_hands_a_large_file_over_may_start_its_machine() -> None:
    allowed = [
        statement
        for statement in TEMPLATE["Resources"]["TakeFiles"]["Properties"]["PolicyDocument"]["Statement"]
        if "states:StartExecution" in statement["Action"]
    ]
    assert len(allowed) == 1
    for name in ("FileDropFunction", "ApiFunction"):
        assert {"Ref": "TakeFiles"} in FUNCTIONS[name]["Policies"]


def test_every_queue_that_is_worked_on_has_a_most_and_what_answers_a_patience_and_a_quota() -> None:
    """One program's flood, or five slow merchants, use up neither the account nor the senders' patience."""
    queues = [
        event["Properties"]["ScalingConfig"]["MaximumConcurrency"]
        for one in FUNCTIONS.values()
        for event in one.get("Events", {}).values()
        if event["Type"] == "SQS"
    ]
    assert queues and all(2 <= most <= 10 for most in queues)
    answering = {"WebhookFunction", "ApiFunction", "ConsoleFunction", "SalesforceFunction", "SftpLoginFunction"}
    patient = {n for n, one in FUNCTIONS.items() if "MUST_ANSWER" in one.get("Environment", {}).get("Variables", {})}
    assert patient == answering
    reserved = {name for name, one in FUNCTIONS.items() if "ReservedConcurrentExecutions" in one}
    assert {"WebhookFunction", "ApiFunction", "FileDropFunction", "ApplyFunction"} <= reserved
    assert (
        TEMPLATE["Parameters"]["CallConcurrency"]["Default"]
        == TEMPLATE["Parameters"]["WorkConcurrency"]["Default"]
        == ""
    )


def test_every_version_of_what_was_sent_expires_with_it() -> None:
    rules = parsed("infra/storage.yaml")["Resources"]["Inbox"]["Properties"]["LifecycleConfiguration"]["Rules"]
    assert all(rule["Status"] == "Enabled" for rule in rules)
    [everything] = [rule for rule in rules if "Prefix" not in rule and "ExpirationInDays" in rule]
    assert everything["ExpirationInDays"] == {"Ref": "RawDays"}, "whatever prefix it lies below"
    assert everything["NoncurrentVersionExpiration"] == {"NoncurrentDays": {"Ref": "RawDays"}}
    assert any(rule.get("ExpiredObjectDeleteMarker") for rule in rules)
    passed = TEMPLATE["Resources"]["Storage"]["Properties"]["Parameters"]["RawDays"]
    assert passed == {"Ref": "RawDays"} and TEMPLATE["Parameters"]["RawDays"]["Default"] == 400


def test_five_slow_merchants_leave_room_for_others() -> None:
    pulls = FUNCTIONS["FtpPullFunction"]["Events"]["Pulls"]["Properties"]["ScalingConfig"]["MaximumConcurrency"]
    assert pulls > 5


def test_shards_can_be_chosen_and_there_is_one_to_begin_with() -> None:
    shards = TEMPLATE["Parameters"]["IndexShards"]
    assert shards["Default"] == 1 and all(256 % number == 0 for number in shards["AllowedValues"])
    assert TEMPLATE["Globals"]["Function"]["Environment"]["Variables"]["INDEX_SHARDS"] == {"Ref": "IndexShards"}
