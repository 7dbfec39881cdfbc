// Keeps the live map alive: loads the page again every two seconds, and changes only what is different. So the focus, the
// scroll position and the running animations stay. Without this file, the page reloads as a whole.

const PAUSE = 2000;
const lost = document.querySelector("#lost");

// Makes `old` equal to `new_`, which has the same tag.
function update(old, new_) {
  for (const { name } of [...old.attributes]) if (!new_.hasAttribute(name)) old.removeAttribute(name);
  for (const { name, value } of new_.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  const [olds, news] = [[...old.childNodes], [...new_.childNodes]];
  const alike = olds.length === news.length && olds.every((node, at) => node.nodeName === news[at].nodeName);
  if (!alike) return old.replaceChildren(...news);
  olds.forEach((node, at) => {
    if (node.nodeName === "TIME") node.dateTime === news[at].dateTime || node.replaceWith(news[at]); // shop.js localizes it
    else if (node.nodeType === Node.ELEMENT_NODE) update(node, news[at]);
    else if (node.data !== news[at].data) node.data = news[at].data;
  });
}

async function refresh() {
  try {
    const answer = await fetch(location.href, { signal: AbortSignal.timeout(5000) });
    if (answer.redirected || answer.status === 401 || answer.status === 403) return location.reload(); // a login is due
    if (!answer.ok) throw new Error(String(answer.status));
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const part of document.querySelectorAll("[data-live]")) {
      const fresh = page.getElementById(part.id);
      if (fresh) update(part, fresh);
    }
    if (!document.querySelector("#live-map") !== !page.querySelector("#live-map")) location.reload(); // the first picture
    tell(false);
  } catch {
    tell(true);
  }
  setTimeout(refresh, document.hidden ? 5 * PAUSE : PAUSE);
}

function tell(old) {
  lost.hidden = !old;
  document.documentElement.classList.toggle("lost", old);
}

setTimeout(refresh, PAUSE);
