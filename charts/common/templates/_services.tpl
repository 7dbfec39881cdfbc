{{- /* The services as their pyproject.toml declare them. `make format` writes this file. */ -}}
{{- define "common.declared" -}}
catalog: {"stores": ["postgres", "rabbitmq"], "calls": ["identity"], "edge": true, "audited": true}
cart: {"stores": ["valkey", "rabbitmq"], "calls": ["identity", "catalog"], "edge": true, "audited": false}
order: {"stores": ["postgres", "rabbitmq"], "calls": ["identity", "cart", "catalog"], "edge": true, "audited": true}
payment: {"stores": ["postgres", "rabbitmq"], "calls": ["psp", "identity"], "edge": true, "audited": true}
identity: {"stores": ["postgres"], "calls": [], "edge": true, "audited": false}
storefront: {"stores": ["valkey"], "calls": ["catalog", "cart", "order", "payment", "identity"], "edge": true, "audited": false}
psp: {"stores": [], "calls": ["payment"], "edge": false, "audited": false}
{{- end }}
