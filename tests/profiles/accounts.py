"""One account, as the profiles tell of it."""

from __future__ import annotations

from bridge.model import Secret, Security
from bridge.profiles.settings import ClientSettings, MailServer

PASSWORD = Secret("kelp-orbit-tulip-92-fjord-mason")
ACCOUNT = ClientSettings(
    address="me@gmx.de",
    imap=MailServer("192.168.1.20", 1993, Security.TLS, "me@gmx.de"),
    smtp=MailServer("mail.gmx.net", 465, Security.TLS, "me@gmx.de"),
)
OWN_DOMAIN = ClientSettings(
    address="anna@bücher.example",
    imap=MailServer("mail.bücher.example", 993, Security.TLS, "%EMAILADDRESS%"),
    smtp=MailServer("smtp.example", 587, Security.STARTTLS, "%EMAILADDRESS%"),
    name='Anna\'s <"books"> & more',
)
