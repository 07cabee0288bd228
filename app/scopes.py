"""What an API key may do (least privilege)."""

SCOPES = (
    "check",
    "audience",
    "choices",
    "withdraw",
    "facts",
    "facts:decide",
    "subjects:read",
    "subjects:manage",
    "changes",
    "webhooks",
    "links",
    "catalogue",
)
