"""D19: the embedded AWS answers the hub's own processes and nobody else, least of all a web page."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from local.aws_gateway import hub_origins
from local.deploy import Endpoint, client
from local.emulator import emulator, free_port

KEY = "the-key-of-this-hub"
FRONT = "http://127.0.0.1:8400"
PAGE = "https://evil.example"
SECRET = "whsec_of_a_shop"


@pytest.fixture(scope="module", params=[False, True], ids=["any-role", "by-role"])
def closed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    folder = tmp_path_factory.mktemp("closed")
    with emulator(folder, free_port(), auth=request.param, persist=False, key=KEY, front=FRONT) as url:
        endpoint = Endpoint(url, KEY)
        client("ssm", endpoint).put_parameter(Name="/retour/x", Value=SECRET, Type="SecureString")
        client("s3", endpoint).create_bucket(Bucket="inbox")
        yield endpoint


def ask(
    endpoint: Endpoint, headers: dict[str, str], method: str = "POST", path: str = "/", body: bytes = b""
) -> tuple[int, str, dict[str, str]]:
    request = urllib.request.Request(f"{endpoint}{path}", body or None, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read().decode(), {k.lower(): v for k, v in answer.headers.items()}
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(), {k.lower(): v for k, v in error.headers.items()}


GET_SECRET = {
    "X-Amz-Target": "AmazonSSM.GetParametersByPath",
    "Content-Type": "application/x-amz-json-1.1",
    "Authorization": "AWS4-HMAC-SHA256 Credential=test/20261121/us-east-1/ssm/aws4_request, "
    "SignedHeaders=host, Signature=0",
}
WANTED = json.dumps({"Path": "/retour/", "Recursive": True, "WithDecryption": True}).encode()


@pytest.mark.parametrize(
    "headers",
    [
        GET_SECRET,
        {**GET_SECRET, "Origin": PAGE},
        {**GET_SECRET, "Origin": FRONT},
        {**GET_SECRET, "Origin": "null"},
        {**GET_SECRET, "X-Retour-Key": "guessed"},
        {**GET_SECRET, "X-Retour-Key": ""},
        {**GET_SECRET, "X-Retour-Key": KEY, "Origin": PAGE},
        {name: value for name, value in GET_SECRET.items() if name != "Authorization"},
        {**GET_SECRET, "Authorization": "nonsense"},
        {
            **GET_SECRET,
            "Authorization": GET_SECRET["Authorization"].replace("test/", "ASIA0123456789ABCDEF/"),
        },
    ],
    ids=range(10),
)
def test_nobody_else_reads_a_secret(closed: Endpoint, headers: dict[str, str]) -> None:
    status, said, answered = ask(closed, headers, body=WANTED)
    assert status == 403 and SECRET not in said
    assert not any(name.startswith("access-control-") for name in answered)


@pytest.mark.parametrize("path", ["/", "/_ministack/config", "/_ministack/reset", "/_aws/ses", "/inbox/x", "/health"])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS"])
def test_nothing_else_is_open(closed: Endpoint, method: str, path: str) -> None:
    status, _, answered = ask(closed, {"Origin": PAGE, "Access-Control-Request-Method": "PUT"}, method, path)
    assert status == 403 and "access-control-allow-origin" not in answered
    assert ask(closed, {}, method, path)[0] == 403


def test_the_hub_itself_comes_in(closed: Endpoint) -> None:
    found = client("ssm", closed).get_parameter(Name="/retour/x", WithDecryption=True)
    assert found["Parameter"]["Value"] == SECRET
    client("s3", closed).put_object(Bucket="inbox", Key="ä b+c/d", Body=b"x" * 100_000)
    assert client("s3", closed).get_object(Bucket="inbox", Key="ä b+c/d")["Body"].read() == b"x" * 100_000
    with pytest.raises(ClientError):
        client("ssm", Endpoint(closed.url, "another")).get_parameter(Name="/retour/x")


def test_a_signed_address_opens_its_one_object_to_the_console_and_to_no_other_page(closed: Endpoint) -> None:
    s3 = client("s3", closed)
    address = s3.generate_presigned_url("put_object", Params={"Bucket": "inbox", "Key": "api/a"}, ExpiresIn=60)
    path = address.removeprefix(closed.url)
    asked = {"Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "content-type"}
    status, _, answered = ask(closed, {**asked, "Origin": FRONT}, "OPTIONS", path)
    assert (status, answered["access-control-allow-origin"]) == (204, FRONT)
    assert ask(closed, {**asked, "Origin": PAGE}, "OPTIONS", path)[0] == 403
    status, _, answered = ask(closed, {"Origin": FRONT}, "PUT", path, b"rows")
    assert (status, answered["access-control-allow-origin"]) == (200, FRONT)
    assert ask(closed, {}, "PUT", path, b"rows2")[0] == 200
    assert ask(closed, {}, "GET", path)[0] == 403, "it was signed for putting"
    assert ask(closed, {}, "PUT", path.replace("api/a", "api/b"), b"rows")[0] == 403
    assert s3.get_object(Bucket="inbox", Key="api/a")["Body"].read() == b"rows2"


def test_a_browser_may_call_the_front_by_its_names() -> None:
    assert hub_origins(FRONT) == {
        "http://127.0.0.1:8400", "http://localhost:8400", "https://127.0.0.1:8400", "https://localhost:8400",
    }  # fmt: skip
    assert hub_origins("") == frozenset()


def test_an_open_one_stays_open(tmp_path: Path) -> None:
    """Tests have the embedded AWS for themselves."""
    with emulator(tmp_path, free_port(), persist=False) as url:
        client("s3", url).create_bucket(Bucket="inbox")
        assert ask(Endpoint(url), {}, "GET", "/inbox")[0] == 200
