"""Tests of each service against its OpenAPI document: answers to valid and invalid requests conform to it."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import schemathesis
import uvicorn
from hypothesis import HealthCheck, given, settings
from pydantic import AnyHttpUrl, SecretStr
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from psp.main import create
from psp.settings import Settings
from shopctl import services
from shopctl.services import Declaration

SERVICES = [each for each in services.load(Path(__file__).parents[2]) if each.routes and "/" not in each.routes]
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
]
REQUIRED = {"/api/admin/accounts": "?email=nobody@quayside.example"}  # parameters without which there is no answer
GOOD_AND_BAD = [GenerationMode.POSITIVE, GenerationMode.NEGATIVE]
few = settings(max_examples=15, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))


def conforms(document: str, base_url: str, *, token: str = "", without: str = "$^") -> list[str]:
    """Sends valid and invalid requests to each operation, except on paths that match `without`."""
    headers = {"Authorization": token} if token else {}
    schema = schemathesis.openapi.from_url(document).exclude(path_regex=without)
    schema.config.checks.negative_data_rejection.expected_statuses = ["4xx"]  # includes 413 and 414
    operations = [found.ok() for found in schema.get_all_operations()]
    for operation in operations:
        for mode in GOOD_AND_BAD if operation.body or any(operation.iter_parameters()) else GOOD_AND_BAD[:1]:

            @few
            @given(case=operation.as_strategy(generation_mode=mode))
            def test(case: schemathesis.Case) -> None:
                case.call_and_validate(base_url, headers=headers, checks=CHECKS)

            test()
    return [operation.label for operation in operations]


@pytest.mark.parametrize("service", SERVICES, ids=[service.name for service in SERVICES])
def test_a_service_conforms_to_its_openapi_document(shop, admin, service: Declaration) -> None:
    token = admin.http.headers["Authorization"]
    address = shop.place.address
    assert conforms(f"{address}{service.specification}", address, token=token)


def test_head_works_wherever_get_does(shop, admin) -> None:
    """HEAD has the same status and headers as GET, for paths of existing objects."""
    sku = admin.product(stock=1)
    id = admin.buy(sku)
    assert admin.waits_for(id) == "CONFIRMED"
    assert admin.has_empty_cart()  # so that nothing changes between the two requests
    admin.put(sku)
    asked = ["/", "/api/docs", f"/api/orders/{id}/events"]
    for document in (service.specification for service in SERVICES):
        paths = admin.http.get(document).raise_for_status().json()["paths"]
        found = [path for path, methods in paths.items() if "get" in methods and not path.endswith("/events")]
        asked += [document, *(path.format(sku=sku, order_id=id) + REQUIRED.get(path, "") for path in found)]
    for path in asked:
        head = admin.http.head(path)
        with admin.http.stream("GET", path) as get:
            for header in ("Content-Type", "Cache-Control", "ETag"):
                assert head.headers.get(header) == get.headers.get(header), path
            assert (head.status_code, head.content) == (get.status_code, b"") == (200, b""), path
    admin.http.delete("/api/cart").raise_for_status()


@pytest.fixture
def own_provider(tmp_path: Path) -> Iterator[str]:
    """A second sandbox provider, because the audit reads the ledger of the shop's."""
    app = create(
        Settings(
            psp_database=tmp_path / "psp.db",
            psp_webhook_secret=SecretStr("a-secret-of-the-tests"),
            webhook_url=AnyHttpUrl("http://127.0.0.1:9/hook"),
        )
    )
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical"))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        thread.join()


def test_the_sandbox_provider_conforms_to_its_openapi_document(own_provider: str) -> None:
    assert conforms(f"{own_provider}/openapi.json", own_provider, without="^/sandbox/faults$")
