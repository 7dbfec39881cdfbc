"""The page: as much of the figures as fits the terminal, from 80 columns and 24 rows on."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from shopctl.colors import BAD, GOOD, NOTE, WARN, color_of
from shopctl.place import TOOLS
from shopctl.services import STORES
from shopctl.top.figures import Audit, Figures, Held, Orders, Service
from shopctl.top.trouble import OLD_EVENT, OLD_ORDER, trouble
from shopctl.units import megabytes, rate, seconds

__all__ = ["Page"]

COLUMNS = ("service", "up", "req/s", "err/s", "p50", "p95", "cpu", "memory", "outbox", "queue", "cons.", "dead")
WIDE = 100
TALL = 34
BARS = " ▁▂▃▄▅▆▇█"
OLD_AUDIT = 86_400
UNKNOWN = Text("–", NOTE)


class Page:
    """One page. `placed` and `delays` are the past: orders per second, and p95 from POST to CONFIRMED."""

    def __init__(
        self, title: str, figures: Figures, placed: Sequence[float | None] = (), delays: Sequence[float | None] = ()
    ) -> None:
        self.title = title
        self.figures = figures
        self.placed = placed
        self.delays = delays

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        wrong = trouble(self.figures)
        height = (options.height or console.height) if console.is_terminal else TALL - 1 + len(wrong)
        tall = console.is_terminal and height >= TALL and options.max_width >= WIDE and not options.ascii_only
        line = 0 if tall or options.ascii_only else options.max_width
        parts: list[RenderableType] = [self._head(options.max_width), Text(), self._orders(line)]
        if tall:
            parts += [Text(), self._curves(options.max_width)]
        parts += [Text(), self._services(options.max_width), Text(), self._stores(), Text()]
        used = len(console.render_lines(Group(*parts), options, pad=False))
        parts += _attention(wrong, min(height - used, max(2, len(wrong))))
        left = height - used - max(2, len(wrong)) - 2
        if tall and left > 1 and self.figures.routes:
            parts += [Text(), self._routes(min(left, 12))]
        yield Group(*parts)

    def _head(self, width: int) -> Text:
        at = f"{datetime.fromtimestamp(self.figures.at, UTC):%H:%M:%S} UTC"
        head = Text.assemble(("Quayside", "bold"), (f"  {self.title}", NOTE), no_wrap=True, overflow="ellipsis")
        return head.append(at.rjust(max(1, width - head.cell_len)))

    def _orders(self, width: int) -> Table:
        """The figures of orders, with a small curve if there is a `width` for it."""
        orders = self.figures.orders
        table = Table.grid(padding=(0, 2))
        table.add_column(style=NOTE, no_wrap=True, min_width=18)
        table.add_column(no_wrap=True, overflow="ellipsis")
        flow = _pairs(("placed", _rate(orders.placed)), ("confirmed", _rate(orders.confirmed)))
        flow += _pairs(("failed", _rate(orders.failed, bad=WARN)))
        if width and self.placed:
            flow.append(curve(self.placed, width - flow.cell_len - 20, 1)[0], "color(32)")
        table.add_row("orders a second", flow)
        table.add_row("POST to CONFIRMED", _pairs(("p50", _seconds(orders.p50)), ("p95", _seconds(orders.p95))))
        table.add_row("open, oldest", _held(orders.open))
        table.add_row("undecided payments", _payments(orders))
        table.add_row("last audit", _audit(self.figures.audit, self.figures.at))
        return table

    def _curves(self, width: int) -> Table:
        table = Table.grid(padding=(0, 2), expand=True)
        half = (width - 2) // 2
        both = (
            ("orders a second", self.placed, rate, "color(32)"),
            ("POST to CONFIRMED, p95", self.delays, seconds, "color(133)"),
        )
        cells = []
        for name, values, unit, color in both:
            known = [value for value in values if value is not None]
            top = f"  highest {unit(max(known))}" if known else ""
            cell = Text.assemble((name, "bold"), (top, NOTE), no_wrap=True)
            for row in curve(values, half, 5):
                cell.append(f"\n{row}", color)
            cells.append(cell.append("\n" + "▔" * half, NOTE))
            table.add_column(width=half)
        table.add_row(*cells)
        return table

    def _services(self, width: int) -> Table:
        wide = width >= WIDE
        table = Table(box=None, pad_edge=False, padding=(0, 2 if wide else 1, 0, 0), header_style=NOTE)
        for heading in COLUMNS:
            table.add_column(heading, justify="left" if heading == "service" else "right", no_wrap=True)
        if wide:
            table.add_column("retrying", justify="right")
            table.add_column("oldest event", justify="right")
        for each in self.figures.services:
            cells = [*_cells(each)]
            if wide:
                cells += [_count(each.retrying, WARN) if each.queue else UNKNOWN, _seconds(each.outbox_age or None)]
            table.add_row(*cells)
        return table

    def _stores(self) -> Text:
        line = Text()
        for each in self.figures.stores:
            if each.name not in STORES and each.up:
                continue  # RabbitMQ's port mapper, and the tools that observe the shop
            line.append("● " if each.up else "✗ ", GOOD if each.up else BAD)
            line.append(each.name, "" if each.up else BAD)
            line.append(f" {megabytes(each.memory)}   " if each.memory else "   ", NOTE)
        shop = [*self.figures.services, *(each for each in self.figures.stores if each.name not in TOOLS)]
        total = sum(each.memory or 0 for each in shop)
        return line.append(f"all {megabytes(total)}" if total else "", NOTE)

    def _routes(self, rows: int) -> Table:
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style=NOTE)
        table.add_column("busiest routes", no_wrap=True)
        for heading in ("req/s", "err/s", "p95"):
            table.add_column(heading, justify="right", no_wrap=True, min_width=8)
        for each in self.figures.routes[: rows - 1]:
            name = Text.assemble((f"{each.service:<11}", color_of(each.service)), each.name)
            table.add_row(name, _rate(each.requests), _rate(each.errors, bad=BAD), _seconds(each.p95))
        return table


def _cells(each: Service) -> Iterator[Text]:
    yield Text(each.name, color_of(each.name) if each.up else BAD)
    if not each.up:
        yield Text("down", BAD)
    else:
        yield Text(str(each.up)) if each.up == each.processes else Text(f"{each.up}/{each.processes}", WARN)
    yield _rate(each.requests)
    yield _rate(each.errors, bad=BAD)
    yield _seconds(each.p50)
    yield _seconds(each.p95)
    yield UNKNOWN if each.cpu is None else Text(f"{each.cpu:.0%}")
    yield UNKNOWN if each.memory is None else Text(megabytes(each.memory))
    yield UNKNOWN if each.outbox is None else _count(each.outbox, WARN if (each.outbox_age or 0) > OLD_EVENT else "")
    yield UNKNOWN if each.queue is None else _count(each.queue.messages, "")
    yield UNKNOWN if each.queue is None else Text(str(each.queue.consumers), "" if each.queue.consumers else BAD)
    yield UNKNOWN if each.queue is None else _count(each.dead, BAD)


def _attention(wrong: Sequence[str], rows: int) -> Iterator[Text]:
    if not wrong:
        yield Text.assemble(("● ", GOOD), "Nothing needs attention.")
        return
    shown = wrong if len(wrong) <= rows else wrong[: max(rows - 1, 1)]
    for sentence in shown:
        yield Text.assemble(("✗ ", BAD), sentence, no_wrap=True, overflow="ellipsis")
    if len(shown) < len(wrong):
        yield Text(f"  and {len(wrong) - len(shown)} more: `shopctl top --once` shows all.", NOTE)


def _held(held: Sequence[Held]) -> Text:
    if not held:
        return UNKNOWN
    if not any(each.count for each in held):
        return Text("none", NOTE)
    return _pairs(*((each.state, _held_one(each)) for each in held if each.count))


def _held_one(each: Held) -> Text:
    return Text(str(each.count)).append(f" {seconds(each.age)}", WARN if each.age > OLD_ORDER else NOTE)


def _payments(orders: Orders) -> Text:
    found = _held(orders.undecided)
    return Text.assemble(found, (f"   {orders.stuck} need an operator", BAD)) if orders.stuck else found


def _audit(audit: Audit | None, now: float) -> Text:
    if audit is None:
        return Text("none since the order service started: `make audit`", NOTE)
    ago = f"{seconds(max(0.0, now - audit.at))} ago"
    if audit.failed:
        return Text.assemble((f"not clean: {', '.join(audit.failed)}", BAD), (f"  {ago}", NOTE))
    return Text.assemble(("clean", GOOD), (f"  {ago}", WARN if now - audit.at > OLD_AUDIT else NOTE))


def _pairs(*pairs: tuple[str, Text]) -> Text:
    return Text.assemble(*(part for name, value in pairs for part in ((f"{name} ", NOTE), value, "   ")))


def _rate(value: float | None, bad: str = "") -> Text:
    return UNKNOWN if value is None else Text(rate(value), bad if value else NOTE)


def _seconds(value: float | None) -> Text:
    return UNKNOWN if value is None else Text(seconds(value))


def _count(value: int, style: str) -> Text:
    return Text(str(value), style if value else NOTE)


def curve(values: Iterable[float | None], width: int, height: int) -> list[str]:
    """The last values as columns of blocks, on a scale from 0 to the highest; the newest value is on the right."""
    last = list(values)[-max(width, 0) :]
    top = max((value for value in last if value is not None), default=0.0) or 1.0
    eighths = [0 if value is None else max(round(value / top * height * 8), 1 if value else 0) for value in last]
    return [
        "".join(BARS[min(max(each - 8 * row, 0), 8)] for each in eighths).rjust(max(width, 0))
        for row in reversed(range(height))
    ]
