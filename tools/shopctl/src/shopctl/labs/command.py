"""`shopctl lab`: list the labs, open one, answer its questions, grade it."""

from typing import Annotated

import typer
from rich.table import Table

from shopctl.console import fail, out, show
from shopctl.labs import grading
from shopctl.labs.page import FOLDER, Page, pages
from shopctl.place import Place

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Labs: open one, and grade what you achieved.")

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
    """Keep the answers to the lab's questions. They can be given again, as long as the lab is not graded."""
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
            out.print(f"     hint: {mark.hint}", markup=False, soft_wrap=True)
    out.print(f"Lab {page.number}: {result.points} of {result.of} points")


def _page(place: Place, number: str) -> Page:
    found = pages(place.root)
    if number.zfill(2) not in found:
        fail(f"There is no lab {number} in {FOLDER}. `shopctl lab list` lists them.", status=2)
    return found[number.zfill(2)]
