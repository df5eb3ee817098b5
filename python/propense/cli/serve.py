"""The command ``serve``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from propense.server import DRAIN_S, SYSTEM_CLOCK, ServerTLS
from propense.server import serve as serve_store
from propense.terminal import verbatim_console


def serve(
    store: Annotated[
        Path,
        typer.Option("--store", help="Folder of the store; made if it is not there.", metavar="S"),
    ],
    models: Annotated[
        Path, typer.Option("--models", help="Folder whose folders are the models.", metavar="M")
    ],
    address: Annotated[
        str, typer.Option("--address", help="host:port; port 0 picks a free one.", metavar="A")
    ] = "127.0.0.1:50051",
    metrics: Annotated[
        str | None,
        typer.Option("--metrics", help="host:port of a Prometheus page, plain HTTP.", metavar="A"),
    ] = None,
    tokens: Annotated[
        Path | None,
        typer.Option("--tokens", help="JSON file of the tokens to let in.", metavar="F"),
    ] = None,
    tls_cert: Annotated[
        Path | None, typer.Option("--tls-cert", help="PEM file of the certificate.", metavar="F")
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option("--tls-key", help="PEM file of its private key.", metavar="F")
    ] = None,
    tls_client_ca: Annotated[
        Path | None,
        typer.Option(
            "--tls-client-ca",
            help="PEM file of the authority that signs clients' certificates; others are not let in.",
            metavar="F",
        ),
    ] = None,
    drain: Annotated[
        float,
        typer.Option("--drain", min=0.0, help="Seconds that calls under way have at the end."),
    ] = DRAIN_S,
    log_calls: Annotated[
        bool, typer.Option("--log-calls", help="Log every call, not only failed and slow ones.")
    ] = False,
    segments: Annotated[
        Path | None,
        typer.Option(
            "--segments",
            help="Folder of segment files (TOML), put at the start where they are new or changed.",
            metavar="FOLDER",
        ),
    ] = None,
    destinations: Annotated[
        Path | None,
        typer.Option(
            "--destinations",
            help="Folder of destination files (TOML), to which transitions are delivered.",
            metavar="FOLDER",
        ),
    ] = None,
    clock: Annotated[
        str,
        typer.Option(
            "--clock",
            help="simulated@2026-01-01: time stands still until propense clock --advance.",
            metavar="C",
        ),
    ] = SYSTEM_CLOCK,
) -> None:
    """Answer over gRPC: scores, events, users, models, segments. Ctrl-C or SIGTERM stops it.

    Beyond this machine it needs --tls-cert and --tls-key, and --tokens or --tls-client-ca.
    The log goes to standard error, a JSON object a line, without personal data.
    """
    if (tls_cert is None) != (tls_key is None):
        raise typer.BadParameter("give both --tls-cert and --tls-key")
    if tls_client_ca is not None and tls_cert is None:
        raise typer.BadParameter("--tls-client-ca needs --tls-cert and --tls-key")
    tls = None
    if tls_cert is not None and tls_key is not None:
        tls = ServerTLS(tls_cert, tls_key, tls_client_ca)
    if destinations is not None:
        from propense.delivery.log_lines import log_to_standard_error

        log_to_standard_error()
    server = serve_store(
        store,
        models,
        address=address,
        metrics_address=metrics,
        tokens=tokens,
        tls=tls,
        drain=drain,
        log_calls=log_calls,
        segments=segments or (),
        clock=clock,
        destinations=destinations or (),
    )
    console = verbatim_console()
    console.print(f"serving on {server.address}", soft_wrap=True)
    if server.metrics_address is not None:
        page = f"metrics on http://{server.metrics_address}/metrics"
        console.print(page, soft_wrap=True)
    with server:
        server.wait()
    console.print("stopped")
