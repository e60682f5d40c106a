"""The pages that people see: rendered here from templates, on the same Protocols as the REST API."""
