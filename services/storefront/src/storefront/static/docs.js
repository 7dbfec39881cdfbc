// Shows the OpenAPI documents of the services: their operations, folded.

function element(tag, text, className = "") {
  return Object.assign(document.createElement(tag), { textContent: text, className });
}

// Replaces the references in a schema, each at most once per path, so that recursive schemas end.
function resolved(node, spec, seen = []) {
  if (Array.isArray(node)) return node.map((item) => resolved(item, spec, seen));
  if (node === null || typeof node !== "object") return node;
  if (typeof node.$ref === "string") {
    if (seen.includes(node.$ref)) return node;
    const target = node.$ref.slice(2).split("/").reduce((at, key) => at?.[key], spec);
    return resolved(target, spec, [...seen, node.$ref]);
  }
  return Object.fromEntries(Object.entries(node).map(([key, value]) => [key, resolved(value, spec, seen)]));
}

function operation(path, method, details, spec) {
  const box = document.createElement("details");
  const summary = document.createElement("summary");
  summary.append(element("span", method.toUpperCase(), "method"), element("code", path), ` ${details.summary ?? ""}`);
  box.append(summary);
  if (details.description) box.append(element("p", details.description));
  box.addEventListener("toggle", () => {
    const { parameters, requestBody, responses } = details;
    const shown = resolved({ parameters, requestBody, responses }, spec);
    box.append(element("pre", JSON.stringify(shown, null, 2)));
  }, { once: true });
  return box;
}

async function section(link) {
  const box = document.createElement("section");
  box.append(element("h2", link.textContent));
  try {
    const answer = await fetch(link.href, { signal: AbortSignal.timeout(5000) });
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    const spec = await answer.json();
    for (const [path, methods] of Object.entries(spec.paths)) {
      for (const [method, details] of Object.entries(methods)) box.append(operation(path, method, details, spec));
    }
  } catch (error) {
    box.append(element("p", `The service does not answer (${error.message}). Reload the page to retry.`));
  }
  return box;
}

// All of them at once: one that came later would move those that are there.
const links = [...document.querySelectorAll(".specs a")];
document.querySelector("#operations").append(...(await Promise.all(links.map(section))));
