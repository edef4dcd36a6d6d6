"""A merchant's Salesforce: logged in, asked once, every field there, ours writable. No record is changed."""

from typing import TYPE_CHECKING

from retour.channels.salesforce import paths
from retour.connection_test.steps import Course
from retour.domain.program import Program, Source
from retour.remote import RemoteError
from retour.sync.salesforce import client_of

if TYPE_CHECKING:
    from retour.wiring import Hub


def attempt(hub: "Hub", program: Program, source: Source, course: Course) -> None:
    options = source.options
    client = client_of(hub, program, source)
    course.done("secret", user=options["username"])
    client.log_in()
    course.done("login", domain=options.get("domain", "login"), user=options["username"])
    known = client.fields(options["object"])
    course.done("query", object=options["object"], count=len(known))
    # Fields across a relation are another object's: the query itself says whether they are there.
    missing = [path for path in paths(source) if "." not in path and path not in known]
    if missing:
        raise RemoteError("SALESFORCE_FIELDS_MISSING", object=options["object"], fields=", ".join(missing))
    client.look(options["object"], paths(source))
    course.done("fields", fields=", ".join(paths(source)))
    if ours := [*options.get("write_back", {}).values()]:
        unwritable = [name for name in ours if not known.get(name)]
        if unwritable:
            raise RemoteError("SALESFORCE_NOT_WRITABLE", user=options["username"], fields=", ".join(unwritable))
        course.done("write_back", fields=", ".join(ours))
