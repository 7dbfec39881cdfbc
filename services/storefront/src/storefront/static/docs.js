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

async function show(section) {
  try {
    const answer = await fetch(section.dataset.spec);
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    const spec = await answer.json();
    for (const [path, methods] of Object.entries(spec.paths)) {
      for (const [method, details] of Object.entries(methods)) {
        section.append(operation(path, method, details, spec));
      }
    }
  } catch (error) {
    section.append(element("p", `The service does not answer (${error.message}). Reload the page to retry.`));
  }
}

document.querySelectorAll("section[data-spec]").forEach(show);
