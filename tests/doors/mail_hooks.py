"""How Schemathesis sends a mail: as the text it is."""

import schemathesis

schemathesis.serializer.alias("message/rfc822", "text/plain")
