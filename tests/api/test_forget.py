"""retour forget over the API: by an admin alone, for an order or a customer."""

from tests.conftest import ProgramHarness
from tests.functions.test_api import Caller, admin, call  # noqa: F401


def test_an_admin_lets_a_customer_and_an_order_be_forgotten(
    call: Caller,  # noqa: F811
    admin: Caller,  # noqa: F811
    house: ProgramHarness,
) -> None:
    path = f"/v1/programs/{call.program}/forget"
    assert call("POST", path, {"order_id": "A-1"}).status == 403, "not with a program's own key"
    assert admin("POST", path, {}).json["code"] == "FORGET_WHOM"
    assert admin("POST", path, {"customer": "Al"}).json["code"] == "FORGET_WHOM"
    assert admin("POST", path, {"order_id": "A-1", "customer": "Erika"}).json["code"] == "FORGET_WHOM"
    assert admin("POST", path, {"order": "A-1"}).json["code"] == "UNKNOWN_FIELD"
    note = {"order_id": "A-1", "change": "reverse", "note": "Erika Müller", "reason": "CANCELLED"}
    batch = call("POST", f"/v1/programs/{call.program}/modifications", note).json["batch"]
    assert admin("POST", path, {"customer": "Erika Müller"}).json == {"bodies": 1, "next": None}
    assert admin("POST", path, {"order_id": "A-1"}).json == {"bodies": 0, "next": None}
    assert call("GET", f"/v1/programs/{call.program}/batches/{batch}/raw").status == 404
    assert call("GET", f"/v1/programs/{call.program}/batches/{batch}").json["id"] == batch
