// Shows each step of an order as soon as it happens: asks for the page again, and replaces the parts that change.
// `refresh` returns whether nothing more is to come.
const order = document.getElementById("order");
let seq = Number(order.dataset.seq);
let again;

async function refresh() {
  const answer = await fetch(location.pathname, { headers: { Accept: "text/html" }, cache: "no-store" });
  if (answer.redirected || [401, 403, 404].includes(answer.status)) return true; // the session has ended
  if (!answer.ok) throw new Error(`the page answered ${answer.status}`);
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const fresh = page.getElementById("order");
  if (!fresh || Number(fresh.dataset.seq) < seq) return false;
  seq = Number(fresh.dataset.seq);
  for (const part of document.querySelectorAll("[data-live]")) {
    const other = page.getElementById(part.id);
    part.className = other.className;
    if (part.querySelector("details[open]")) other.querySelector("details")?.setAttribute("open", "");
    if (part.innerHTML !== other.innerHTML) part.replaceChildren(...other.childNodes);
  }
  document.querySelector("#count").replaceWith(page.querySelector("#count"));
  document.title = page.title;
  return fresh.dataset.settled === "yes";
}

const later = () => {
  clearTimeout(again);
  again = setTimeout(() => (document.hidden ? later() : refresh().then((done) => done || later(), later)), 3000);
};

const events = new EventSource(order.dataset.events);
events.addEventListener("status", async (event) => {
  if (Number(event.lastEventId) <= seq) return;
  try {
    if (!(await refresh())) return;
    events.close();
    setTimeout(() => refresh().catch(() => {}), 1500); // by then, cart has removed what was ordered
  } catch {
    later();
  }
});
events.addEventListener("error", () => {
  if (events.readyState === EventSource.CLOSED) later(); // no stream is to be had: ask now and then
});
