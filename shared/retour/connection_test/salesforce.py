"""Steps for Salesforce: log in, query once, check the fields and write access. Changes no record."""

from typing import TYPE_CHECKING

from retour.channels.salesforce import mapped_paths
from retour.connection_test.steps import StepRecorder
from retour.domain.program import Program, Source
from retour.remote import RemoteError
from retour.setup.clients import salesforce_client

if TYPE_CHECKING:
    from retour.wiring import Hub


def run_steps(hub: "Hub", program: Program, source: Source, recorder: StepRecorder) -> None:
    options = source.options
    client = salesforce_client(hub, program, source)
    recorder.record_done("secret", user=options["username"])
    client.log_in()
    recorder.record_done("login", domain=options.get("domain", "login"), user=options["username"])
    known = client.fields(options["object"])
    recorder.record_done("query", object=options["object"], count=len(known))
    # Fields of related objects are checked by the query.
    missing = [path for path in mapped_paths(source) if "." not in path and path not in known]
    if missing:
        raise RemoteError("SALESFORCE_FIELDS_MISSING", object=options["object"], fields=", ".join(missing))
    client.probe(options["object"], mapped_paths(source))
    recorder.record_done("fields", fields=", ".join(mapped_paths(source)))
    if ours := [*options.get("write_back", {}).values()]:
        unwritable = [name for name in ours if not known.get(name)]
        if unwritable:
            raise RemoteError("SALESFORCE_NOT_WRITABLE", user=options["username"], fields=", ".join(unwritable))
        recorder.record_done("write_back", fields=", ".join(ours))
