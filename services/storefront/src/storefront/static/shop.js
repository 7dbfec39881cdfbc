// Makes the pages quicker to use: suggestions, adding to the cart and more products without a new page. All of it also
// works without this file.

const lang = document.documentElement.lang;

// Gets a page as the browser would, and parses it.
async function load(address, options = {}) {
  const answer = await fetch(address, { headers: { Accept: "text/html" }, ...options });
  return [answer, new DOMParser().parseFromString(await answer.text(), "text/html")];
}

function price({ amount, currency }) {
  const format = new Intl.NumberFormat(lang, { style: "currency", currency });
  return format.format(amount / 10 ** format.resolvedOptions().maximumFractionDigits);
}

// ---- the cart ----

async function add(event) {
  event.preventDefault();
  const form = event.target;
  const status = form.querySelector("[role=status]");
  if (form.ariaBusy === "true") return;
  const tell = (text, warn) => Object.assign(status, { textContent: text, className: warn ? "warn" : "" });
  form.ariaBusy = "true";
  tell("");
  try {
    const body = new URLSearchParams(new FormData(form));
    const [answer, page] = await load(form.action, { method: "POST", body, keepalive: true });
    if (answer.ok && answer.redirected) {
      document.querySelector("#count").replaceWith(page.querySelector("#count"));
      const notice = page.querySelector("#notice");
      const trouble = page.querySelector(`#line-${form.elements.sku.value} .trouble`);
      const texts = [notice?.textContent.trim() ?? status.dataset.added, trouble?.textContent];
      tell(texts.join(" "), notice || trouble);
      form.elements.key.value = crypto.getRandomValues(new Uint32Array(4)).join("-"); // the next click adds more
    } else {
      form.submit(); // shows the page that says why not; with the same key, nothing is added twice
    }
  } catch {
    tell(status.dataset.lost, true);
  }
  form.ariaBusy = "false";
}

document.querySelector("form[data-add]")?.addEventListener("submit", add);

// ---- more products ----

async function more(event) {
  const link = event.target.closest("a[rel=next]");
  const list = document.querySelector("#products");
  if (!link || !list || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  try {
    const [, page] = await load(link.href);
    const items = [...page.querySelectorAll("#products > li")];
    if (!items.length) throw new Error("no products");
    list.append(...items);
    const next = page.querySelector("a[rel=next]");
    next ? link.replaceWith(next) : link.remove();
    items[0].querySelector("a").focus({ preventScroll: true });
  } catch {
    location.assign(link.href);
  }
}

document.querySelector(".pager")?.addEventListener("click", more);

// ---- suggestions (the combobox pattern of WAI-ARIA) ----

function suggest(input) {
  const list = document.createElement("ul");
  Object.assign(list, { id: "suggestions", role: "listbox", hidden: true, ariaLabel: input.dataset.suggestions });
  input.closest("form").append(list);
  Object.assign(input, { role: "combobox", ariaExpanded: "false", ariaAutoComplete: "list" });
  input.setAttribute("aria-controls", list.id);
  let timer, asked, active = -1;

  function show(options) {
    list.replaceChildren(...options);
    list.hidden = !options.length;
    input.ariaExpanded = String(!list.hidden);
    choose(-1);
  }

  function choose(position) {
    active = position;
    [...list.children].forEach((option, at) => (option.ariaSelected = String(at === active)));
    if (active < 0) input.removeAttribute("aria-activedescendant");
    else input.setAttribute("aria-activedescendant", list.children[active].id);
  }

  function option(product, position) {
    const item = Object.assign(document.createElement("li"), { id: `suggestion-${position}`, role: "option" });
    item.dataset.href = `/p/${product.sku}`;
    const cost = Object.assign(document.createElement("span"), { className: "price", textContent: price(product.price) });
    item.append(`${product.name} `, cost);
    return item;
  }

  async function ask() {
    const q = input.value.trim();
    asked = q;
    if (q.length < 2) return show([]);
    // Without cookies, the edge answers from its cache.
    const answer = await fetch(`/api/catalog/products?${new URLSearchParams({ q, limit: 6 })}`, { credentials: "omit" }).catch(() => null);
    const found = answer?.ok ? (await answer.json()).items : [];
    // An answer that comes late does not replace the list of which one has been chosen.
    if (asked === q && active < 0 && document.activeElement === input) show(found.map(option));
  }

  function close() {
    clearTimeout(timer);
    asked = null; // an answer that comes late does not open the list again
    show([]);
  }

  input.addEventListener("input", () => {
    clearTimeout(timer);
    choose(-1);
    timer = setTimeout(ask, 150);
  });
  input.addEventListener("blur", close);
  input.addEventListener("keydown", (event) => {
    const count = list.children.length;
    if (event.isComposing) return; // the keys belong to an input method
    if (event.key === "Escape" && count) close();
    else if (event.key === "ArrowDown" && count) choose((active + 1) % count);
    else if (event.key === "ArrowUp" && count) choose((active < 1 ? count : active) - 1);
    else if (event.key === "Enter" && active >= 0) location.assign(list.children[active].dataset.href);
    else return;
    event.preventDefault();
  });
  list.addEventListener("pointerdown", (event) => {
    event.preventDefault(); // the input keeps the focus
    const chosen = event.target.closest("[data-href]");
    if (chosen && event.button === 0) location.assign(chosen.dataset.href);
  });
}

suggest(document.querySelector("#q"));

// ---- a product's picture moves from the list to its page, and back ----

function follow(transition, address) {
  const link = transition && address && document.querySelector(`.card a[href="${new URL(address).pathname}"]`);
  const shown = document.querySelector(".shown");
  if (!link) return;
  const picture = link.closest(".card").querySelector(".picture");
  if (shown) shown.style.viewTransitionName = "none"; // a name must be unique
  picture.style.viewTransitionName = "picture";
  transition.finished.finally(() => {
    picture.style.viewTransitionName = "";
    if (shown) shown.style.viewTransitionName = "";
  });
}

addEventListener("pageswap", (event) => follow(event.viewTransition, event.activation?.entry?.url));
addEventListener("pagereveal", (event) => follow(event.viewTransition, globalThis.navigation?.activation?.from?.url));

// ---- times in the visitor's own time zone ----

const moments = new Intl.DateTimeFormat(lang, { dateStyle: "medium", timeStyle: "medium" });

function localize() {
  const times = [...document.querySelectorAll("time:not([title])")];
  const widths = times.map((time) => time.getBoundingClientRect().width);
  times.forEach((time, at) => {
    time.style.minInlineSize = `${widths[at]}px`; // nothing moves
    time.title = time.textContent;
    time.textContent = moments.format(new Date(time.dateTime));
  });
}

localize();
new MutationObserver(localize).observe(document.querySelector("main"), { childList: true, subtree: true });
