"""`shopctl lab`: list the labs, open one, answer its questions, grade it."""

from enum import StrEnum
from typing import Annotated

import typer
from rich.table import Table

from shopctl.console import fail, out, show
from shopctl.labs import Missing, grading, reads
from shopctl.labs.page import FOLDER, Page, pages
from shopctl.place import Place

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Labs: open one, and grade what you achieved.")


class Through(StrEnum):
    """What passes the reads on to a pod."""

    edge = "edge"
    service = "service"


Number = Annotated[str, typer.Argument(metavar="LAB", help="The number of the lab, such as 9 or 09.")]


@app.command("list")
def list_() -> None:
    """List the labs, with the runtime and the time that each needs."""
    table = Table(box=None, pad_edge=False)
    for heading in ("lab", "about", "runtime", "minutes"):
        table.add_column(heading)
    for page in pages(Place.here().root).values():
        table.add_row(page.number, page.title, page.runtime, str(page.minutes))
    show(table)


@app.command("open")
def open_(number: Number) -> None:
    """Check that everything is there that the lab needs. The exit status is 1 if something is missing."""
    place = Place.here()
    page = _page(place, number)
    lab = grading.grader(page.number)
    if unmet := grading.unmet(lab):
        for wanted, found, remedy in unmet:
            out.print(f"Missing: {wanted} ({found})", markup=False, soft_wrap=True)
            out.print(f"  Run: {remedy}", markup=False, soft_wrap=True)
        raise typer.Exit(1)
    grading.keep(place.run, page.number, [])
    out.print(f"Lab {page.number}, {page.title}: everything is there that it needs.", markup=False, soft_wrap=True)
    if lab.questions:
        count = len(lab.questions)
        example = " ".join("abc"[n % 3] for n in range(count))
        out.print(f'Predict, then answer its {count} questions: make answer LAB={page.number} ANSWERS="{example}"')
    out.print(f"At the end: make grade LAB={page.number}")


@app.command()
def answer(number: Number, answers: Annotated[list[str], typer.Argument(help="One word for each question.")]) -> None:
    """Keep the answers to the lab's questions. They can be given again at any time."""
    place = Place.here()
    page = _page(place, number)
    count = len(grading.grader(page.number).questions)
    if len(answers) != count:
        fail(f"Lab {page.number} has {count} questions, and these are {len(answers)} answers.", status=2)
    grading.keep(place.run, page.number, answers)
    out.print("Your answers are kept.")


@app.command()
def grade(
    number: Number, as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for teachers.")] = False
) -> None:
    """Look at your answers and at what you achieved; print points, what is missing, and a hint for it."""
    place = Place.here()
    page = _page(place, number)
    result = grading.grade(page.number, grading.grader(page.number), grading.kept(place.run, page.number))
    if as_json:
        print(result.as_json())
        return
    for mark in result.marks:
        out.print(f"{mark.points}/{mark.of}  {mark.wanted}", markup=False, soft_wrap=True)
        if mark.found:
            out.print(f"     found: {mark.found}", markup=False, soft_wrap=True)
        if mark.hint:
            out.print(f"     hint: {mark.hint}", markup=False, soft_wrap=True)
    out.print(f"Lab {page.number}: {result.points} of {result.of} points")


@app.command("read")
def read_(
    count: Annotated[int, typer.Option("--reads", min=1, max=10_000, help="Number of reads.")] = 90,
    clients: Annotated[int, typer.Option(min=1, max=64, help="Clients that read at the same time.")] = 1,
    addresses: Annotated[int, typer.Option(min=1, max=250, help="Addresses that the reads name, in turn.")] = 1,
    pause: Annotated[float, typer.Option(min=0, max=10, help="Seconds of pause after each read of a client.")] = 0,
    through: Annotated[Through, typer.Option(help="The edge, or the Service catalog, from cart's pod.")] = Through.edge,
    reconnect: Annotated[bool, typer.Option(help="Open a connection for each read.")] = False,
) -> None:
    """Read the catalog of the shop on the cluster, and count what each of its pods answers."""
    load = reads.Load(count, clients, addresses, pause, reconnect)
    try:
        found = reads.through_edge(load) if through is Through.edge else reads.through_service(load)
    except Missing as missing:
        fail(missing)
    table = Table(box=None, pad_edge=False)
    for heading in ("pod", "CPU limit", "reads"):
        table.add_column(heading)
    for pod, share in found.shares.items():
        table.add_row(pod.name, pod.cpu, str(share))
    show(table)
    took = found.took
    half, most = (f"{reads.quantile(took.reads, share) * 1000:.0f} ms" for share in (0.5, 0.95))
    out.print(f"{count} reads in {took.seconds:.1f} s; half of them took at most {half}, 95 in 100 at most {most}")
    if refusals := took.refusals:
        half = f"{reads.quantile(refusals, 0.5) * 1000:.0f} ms"
        out.print(f"{len(refusals)} times a read was refused, half of them within {half}, and sent again later")


def _page(place: Place, number: str) -> Page:
    found = pages(place.root)
    if number.zfill(2) not in found:
        fail(f"There is no lab {number} in {FOLDER}. `shopctl lab list` lists them.", status=2)
    return found[number.zfill(2)]
