"""What `setup` says, in English and German. Pure.

Rules: every text is there in both languages, with the same {names}; a step is a label of one line,
its outcome follows on that line.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

from bridge.discovery.providers import Language

_STEP: Final = 26  # columns of a label with its dots

TEXTS: Final[Mapping[str, tuple[str, str]]] = {
    "head": (
        "popbridge {version} · data in {data} · config {config} ({state})",
        "popbridge {version} · Daten in {data} · Konfiguration {config} ({state})",
    ),
    "new": ("new", "neu"),
    "existing": ("an account is added", "ein Konto kommt dazu"),
    "typed": ("{typed} is written {domain} here.", "{typed} schreibt sich hier {domain}."),
    "looking": ("Looking up {domain} ", "Suche {domain} "),
    "found": ("found in {source}", "gefunden: {source}"),
    "given": ("as you said", "wie angegeben"),
    "not found": (
        "nobody knows this domain. Say where its POP3 server is: --host HOST",
        "niemand kennt diese Domain. Nennen Sie den POP3-Server: --host HOST",
    ),
    "offline": (
        "not in the built-in list, and --offline asks nobody",
        "nicht in der eingebauten Liste, und --offline fragt niemanden",
    ),
    "sent": (
        "(asked with the domain alone, never with the address)",
        "(gefragt wird nur mit der Domain, nie mit der Adresse)",
    ),
    "server": (
        "  POP3   {host}:{port}   {security}   user {username}   every {minutes} min",
        "  POP3   {host}:{port}   {security}   Benutzer {username}   alle {minutes} min",
    ),
    "first": (
        "  {name} only allows this after you switch it on once:\n  {text}{url}",
        "  {name} erlaubt das erst, wenn Sie es einmal einschalten:\n  {text}{url}",
    ),
    "password wanted": ("  {name} wants {text}{url}", "  {name} verlangt {text}{url}"),
    "unproved": (
        "These settings come from an unsigned source. Send the password there? ",
        "Diese Angaben stammen aus einer ungesicherten Quelle. Das Passwort dorthin senden? ",
    ),
    "leads": (
        "  {host} leads into a private network ({places}).",
        "  {host} führt in ein privates Netz ({places}).",
    ),
    "private": (
        "Is your mail server there? ",
        "Steht Ihr Mailserver dort? ",
    ),
    "plaintext": (
        "This server has no TLS: password and mail cross the network in clear. Go on? ",
        "Dieser Server hat kein TLS: Passwort und Mail gehen unverschlüsselt durchs Netz. Weiter? ",
    ),
    "password": ("Password for {address} (not shown): ", "Passwort für {address} (unsichtbar): "),
    "logging in": ("Logging in ", "Anmeldung "),
    "logged in": (
        "OK   {messages} messages, {size}, stable IDs (UIDL): {ids}",
        "OK   {messages} Nachrichten, {size}, feste Kennungen (UIDL): {ids}",
    ),
    "yes": ("yes", "ja"),
    "no": ("no", "nein"),
    "kept": (
        "  Nothing is deleted on the server. You can change that later (keep_on_server).",
        "  Auf dem Server wird nichts gelöscht. Das lässt sich später ändern (keep_on_server).",
    ),
    "no ids": (
        "  This server gives no stable message IDs. Mail is recognised by its content instead\n"
        "  (slower check: headers of {messages} messages each poll). Nothing is lost or doubled.",
        "  Dieser Server gibt keine festen Kennungen. Mail wird am Inhalt erkannt (langsamer:\n"
        "  die Kopfzeilen von {messages} Nachrichten je Abruf). Nichts geht verloren oder doppelt.",
    ),
    "inbox only": (
        "  POP3 shows the inbox only; folders and sent mail at {domain} stay there.",
        "  POP3 zeigt nur den Posteingang; Ordner und Gesendetes bleiben bei {domain}.",
    ),
    "bring over": (
        "  Bring them over once: popbridge import imap imaps://USER@HOST --login LOGIN",
        "  Einmal herüberholen: popbridge import imap imaps://USER@HOST --login LOGIN",
    ),
    "refused": ("refused", "abgelehnt"),
    "reasons": ("Three common reasons at {name}: ", "Drei häufige Gründe bei {name}: "),
    "reasons short": ("Common reasons: ", "Häufige Gründe: "),
    "reason off": ("POP3 is still switched off{url}", "POP3 ist noch ausgeschaltet{url}"),
    "reason app": ("it needs {text}{url}", "es braucht {text}{url}"),
    "reason user": (
        "the user name is another one (--username)",
        "der Benutzername ist ein anderer (--username)",
    ),
    "reason typo": ("a typo", "ein Tippfehler"),
    "again": ("Try again? ", "Noch einmal? "),
    "too soon": (
        "{name} allows one login in {minutes} min and answers a sooner one like a wrong password.\n"
        "Try again after {time}.",
        "{name} erlaubt eine Anmeldung in {minutes} min und beantwortet eine frühere wie ein "
        "falsches Passwort.\nVersuchen Sie es nach {time} wieder.",
    ),
    "wait": ("Waiting", "Warten"),
    "oauth": (
        "{name} no longer accepts passwords: it wants a sign-in (OAuth). Register a client id at\n"
        "{name} once, then: popbridge setup {address} --oauth --client-id ID",
        "{name} nimmt keine Passwörter mehr: es will eine Anmeldung (OAuth). Registrieren Sie\n"
        "dort einmal eine Client-ID, dann: popbridge setup {address} --oauth --client-id ID",
    ),
    "device code": (
        "On any device open {uri} and type {code} (valid {minutes} min) ... ",
        "Öffnen Sie auf irgendeinem Gerät {uri} und geben Sie {code} ein ({minutes} min gültig) "
        "... ",
    ),
    "signed in": ("signed in", "angemeldet"),
    "unreachable": (
        "Saved as waiting; it is tried again by itself. Your stored mail stays readable.",
        "Als wartend gespeichert; es wird von selbst weiter versucht. Gespeicherte Mail bleibt "
        "lesbar.",
    ),
    "save anyway": (
        "Save the account and go on trying? ",
        "Konto speichern und weiter versuchen? ",
    ),
    "not saved": ("Nothing was saved.", "Nichts wurde gespeichert."),
    "there": (
        "{address} is in {config} already; nothing there was changed.",
        "{address} steht schon in {config}; dort wurde nichts geändert.",
    ),
    "ready": ("Your mail server is ready", "Ihr Mailserver ist bereit"),
    "imap": (
        "  IMAP     {host} port {port}, {security}",
        "  IMAP     {host} Port {port}, {security}",
    ),
    "user": ("  User     {login}", "  Benutzer {login}"),
    "device password": (
        '  Password {password}     (for the device "{name}" alone; not your {provider} password)',
        "  Passwort {password}     (nur für das Gerät „{name}“; nicht Ihr Passwort bei {provider})",
    ),
    "sending": (
        "  Sending  {host} port {port}, with your {provider} password",
        "  Senden   {host} Port {port}, mit Ihrem Passwort bei {provider}",
    ),
    "certificate": ("  Certificate SHA-256  {sha}", "  Zertifikat SHA-256   {sha}"),
    "port": (
        "  (Port {port}, because a normal user may not bind 993.)",
        "  (Port {port}, weil gewöhnliche Benutzer 993 nicht belegen dürfen.)",
    ),
    "page": (
        "  Status   {url}, password {password}",
        "  Status   {url}, Passwort {password}",
    ),
    "qr": (
        "  Thunderbird for Android: Add account, Scan QR code",
        "  Thunderbird für Android: Konto hinzufügen, QR-Code scannen",
    ),
    "more devices": (
        "  Each further device: popbridge device add NAME",
        "  Jedes weitere Gerät: popbridge device add NAME",
    ),
    "start": ("Start now and at every boot? ", "Jetzt und bei jedem Start einschalten? "),
    "service": (
        'systemd user service "popbridge" running{linger} (logs: journalctl --user -u popbridge)',
        "systemd-Dienst „popbridge“ läuft{linger} (Protokoll: journalctl --user -u popbridge)",
    ),
    "lingering": (", lingering on", ", auch ohne Anmeldung"),
    "no service": (
        "No systemd for this user here. Start it with: {command}",
        "Kein systemd für diesen Benutzer. So starten Sie: {command}",
    ),
    "serving": ("Serving until Ctrl-C.", "Läuft bis Strg-C."),
    "later": ("Start it with: {command}", "So starten Sie: {command}"),
    "running": (
        "The daemon that runs has taken the account.",
        "Der laufende Dienst hat das Konto übernommen.",
    ),
    "first sync": ("First sync", "Erster Abgleich"),
    "about": ("about {span}", "etwa {span}"),
    "newest": (
        "Newest mail first: it is readable in your mail program already.",
        "Neueste Mail zuerst: sie ist in Ihrem Mailprogramm schon lesbar.",
    ),
    "synced": ("{messages} messages are here.", "{messages} Nachrichten sind da."),
}


def language(option: str | None) -> Language:
    """`--lang`, else what the environment says."""
    said = (
        option
        or os.environ.get("LC_ALL")
        or os.environ.get("LC_MESSAGES")
        or (os.environ.get("LANG") or "")
    )
    return "de" if said.lower().startswith("de") else "en"


class Words:
    """`words("found", source="the ISPDB")`, in one language."""

    def __init__(self, chosen: Language) -> None:
        self.language: Language = chosen

    def __call__(self, key: str, **values: object) -> str:
        return TEXTS[key][self.language == "de"].format(**values)

    def step(self, key: str, **values: object) -> str:
        """A label, filled up with dots: `Looking up gmx.de ........ `."""
        return self(key, **values).ljust(_STEP, ".") + " "


def size(octets: int) -> str:
    """1300000000 -> `1.3 GB`."""
    for unit, most in (("kB", 1e6), ("MB", 1e9)):
        if octets < most:
            return f"{octets / (most / 1e3):,.1f} {unit}"
    return f"{octets / 1e9:,.1f} GB"
