"""The page's words, in English and German; which of the two a browser wants. Pure.

Rules: every key has both languages (a test compares them); `{name}` is filled in by the caller
and escaped by the template; what servers said is never translated, it is shown beside our words.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

Language: TypeAlias = Literal["en", "de"]
LANGUAGES: tuple[Language, ...] = ("en", "de")

# key: (English, German)
_WORDS: Mapping[str, tuple[str, str]] = {
    "all well": ("All mail is up to date", "Alle Post ist aktuell"),
    "fetching mail": ("Mail is being fetched", "Post wird abgeholt"),
    "needs a look": ("Something needs you", "Etwas braucht Ihre Hilfe"),
    "no accounts": ("No account yet", "Noch kein Konto"),
    "database silent": ("The database does not answer", "Die Datenbank antwortet nicht"),
    "last check": ("last check {when}", "zuletzt geprüft {when}"),
    "next check": ("next check {when}", "nächste Prüfung {when}"),
    # states of an account, one word each
    "up to date": ("up to date", "aktuell"),
    "first sync": ("first sync {percent} %", "erster Abgleich {percent} %"),
    "polling": ("checking", "wird geprüft"),
    "fetching": ("fetching {percent} %", "wird abgeholt {percent} %"),
    "waiting": ("waiting", "wartet"),
    "never polled": ("not checked yet", "noch nicht geprüft"),
    "paused": ("paused", "angehalten"),
    "needs attention": ("needs you", "braucht Hilfe"),
    # why, by class of error
    "why auth": (
        "{host} refused the password. Common reasons: POP3 is switched off there, an application "
        "password is wanted, or the password was changed.",
        "{host} hat das Passwort abgelehnt. Häufige Gründe: POP3 ist dort ausgeschaltet, es "
        "braucht ein App-Passwort, oder das Passwort wurde geändert.",
    ),
    "why auth oauth": (
        "The sign-in at {host} has ended or was taken back.",
        "Die Anmeldung bei {host} ist abgelaufen oder wurde zurückgezogen.",
    ),
    "why busy": (
        "{host} is busy with this mailbox, or wants more time between two checks.",
        "{host} ist mit diesem Postfach beschäftigt oder will mehr Zeit zwischen zwei Prüfungen.",
    ),
    "why connect": (
        "{host} could not be reached. Your stored mail stays readable.",
        "{host} war nicht erreichbar. Gespeicherte Post bleibt lesbar.",
    ),
    "why tls": (
        "The certificate of {host} cannot be trusted, so no password was sent.",
        "Dem Zertifikat von {host} ist nicht zu trauen; es wurde kein Passwort gesendet.",
    ),
    "why store": (
        "The mail could not be stored here. Is the disk full?",
        "Die Post konnte hier nicht gespeichert werden. Ist die Platte voll?",
    ),
    "why other": (
        "The check did not succeed.",
        "Die Prüfung ist nicht gelungen.",
    ),
    "server said": ("What was said", "Was gesagt wurde"),
    "on server": ("{count} on the server", "{count} beim Anbieter"),
    "kept here": ("{count} kept here", "{count} hier"),
    "of messages": ("{done} of {todo} messages", "{done} von {todo} Nachrichten"),
    "left": ("about {left} left", "noch etwa {left}"),
    "readable early": (
        "The newest messages are readable already.",
        "Die neuesten Nachrichten sind schon lesbar.",
    ),
    # buttons
    "check now": ("Check now", "Jetzt prüfen"),
    "check all": ("Check all now", "Alle jetzt prüfen"),
    "fix password": ("Enter the password", "Passwort eingeben"),
    "sign in again": ("Sign in again", "Neu anmelden"),
    "pause": ("Pause", "Anhalten"),
    "resume": ("Resume", "Fortsetzen"),
    "test": ("Test the login", "Anmeldung testen"),
    "add device": ("Add a device", "Gerät hinzufügen"),
    "add account": ("Add an account", "Konto hinzufügen"),
    "revoke": ("Revoke", "Entfernen"),
    "log in": ("Log in", "Anmelden"),
    "log out": ("Log out", "Abmelden"),
    "back": ("Back", "Zurück"),
    "save": ("Save", "Speichern"),
    "copy": ("Copy", "Kopieren"),
    "copied": ("Copied", "Kopiert"),
    "more": ("More", "Mehr"),
    "for": ("{what} for {whom}", "{what}: {whom}"),
    # headings and labels
    "title": ("popbridge", "popbridge"),
    "skip": ("To the content", "Zum Inhalt"),
    "accounts": ("Accounts", "Konten"),
    "devices": ("Devices", "Geräte"),
    "storage": ("Storage", "Speicher"),
    "events": ("Last events", "Letzte Ereignisse"),
    "no events": ("Nothing happened yet.", "Noch ist nichts geschehen."),
    "no devices": (
        "No device has a password of its own yet.",
        "Noch hat kein Gerät ein eigenes Passwort.",
    ),
    "used": ("{used} used, {free} free on this disk", "{used} belegt, {free} frei"),
    "connections": ("{count} open connections", "{count} offene Verbindungen"),
    "password": ("Password", "Passwort"),
    "password page": ("Password of this page", "Passwort dieser Seite"),
    "wrong password": (
        "That password is not right. Wait a moment before the next try.",
        "Das Passwort stimmt nicht. Bitte kurz warten, dann noch einmal.",
    ),
    "no password": (
        "This page has no password yet, and shows nothing without one.",
        "Diese Seite hat noch kein Passwort und zeigt ohne keines etwas an.",
    ),
    "how to set": (
        "Write one into a file of your own, name it in the config, and restart popbridge:",
        "Schreiben Sie eines in eine eigene Datei, nennen Sie sie in der Konfiguration und "
        "starten Sie popbridge neu:",
    ),
    "expired": (
        "This form is too old, or came from another page. Nothing was changed.",
        "Dieses Formular ist zu alt oder kam von einer anderen Seite. Nichts wurde geändert.",
    ),
    "problem": ("That did not work", "Das hat nicht geklappt"),
    "done check": ("The check of {address} has begun.", "Die Prüfung von {address} läuft."),
    "done check all": ("The check has begun.", "Die Prüfung läuft."),
    "done pause": ("{address} is paused.", "{address} ist angehalten."),
    "done resume": ("{address} goes on.", "{address} läuft weiter."),
    "done password": (
        "The provider took the password; it is saved.",
        "Der Anbieter hat das Passwort angenommen; es ist gespeichert.",
    ),
    "done test": ("The login at the provider works.", "Die Anmeldung beim Anbieter gelingt."),
    "done revoke": (
        "{name} may not sign in any more.",
        "{name} kann sich nicht mehr anmelden.",
    ),
    "done account": (
        "{address} is added; its first sync begins.",
        "{address} ist eingerichtet; der erste Abgleich beginnt.",
    ),
    "done sign in": ("Signed in as {address}.", "Angemeldet als {address}."),
    # a new password of an account
    "new password": ("New password for {address}", "Neues Passwort für {address}"),
    "new password how": (
        "The password of your provider. It is tried there once, and saved only if it works.",
        "Das Passwort Ihres Anbieters. Es wird dort einmal versucht und nur gespeichert, wenn es "
        "stimmt.",
    ),
    # OAuth
    "sign in title": ("Sign in for {address}", "Anmelden für {address}"),
    "sign in how": (
        "Open this page on any device and enter the code. This page goes on by itself.",
        "Öffnen Sie diese Seite auf einem beliebigen Gerät und geben Sie den Code ein. Diese Seite "
        "geht von selbst weiter.",
    ),
    "sign in start": ("Get a code", "Code holen"),
    "sign in waiting": ("Waiting for the sign-in ...", "Warten auf die Anmeldung ..."),
    # a device
    "device name": ("Name of the device", "Name des Geräts"),
    "device example": ("Anna's phone", "Annas Telefon"),
    "device login": ("Which mail?", "Welche Post?"),
    "device how": (
        "Each device has a password of its own, which can be revoked alone.",
        "Jedes Gerät hat ein eigenes Passwort und kann für sich entfernt werden.",
    ),
    "device made": ("{name} may sign in now", "{name} kann sich jetzt anmelden"),
    "shown once": (
        "The password is shown once, here and now.",
        "Das Passwort wird nur dieses eine Mal gezeigt.",
    ),
    "scan": (
        "Thunderbird for Android: Add account, Scan QR code",
        "Thunderbird für Android: Konto hinzufügen, QR-Code scannen",
    ),
    "qr title": ("QR code with the settings", "QR-Code mit den Einstellungen"),
    "no qr": (
        "This address does not fit into a QR code: use the lines.",
        "Diese Adresse passt nicht in einen QR-Code: bitte die Zeilen benutzen.",
    ),
    "server": ("Server (IMAP)", "Server (IMAP)"),
    "port": ("Port, TLS", "Port, TLS"),
    "user": ("User", "Benutzer"),
    "sending": (
        "Sending: {host}, port {port}, with the password of your provider",
        "Senden: {host}, Port {port}, mit dem Passwort Ihres Anbieters",
    ),
    "sending unknown": (
        "Sending: the server of your provider, as before",
        "Senden: über den Server Ihres Anbieters, wie bisher",
    ),
    "fingerprint": ("Certificate SHA-256", "Zertifikat SHA-256"),
    "last seen": ("last seen {when}", "zuletzt {when}"),
    "never seen": ("never seen", "noch nie"),
    "now": ("just now", "gerade eben"),
    "soon": ("any moment", "gleich"),
    "ago": ("{span} ago", "vor {span}"),
    "in": ("in {span}", "in {span}"),
    "days": ("{count} d", "{count} Tagen"),
    "hours": ("{count} h", "{count} Std."),
    "minutes": ("{count} min", "{count} Min."),
    "seconds": ("{count} s", "{count} Sek."),
    # the phone page
    "open phone page": ("Open a page for the phone", "Seite für das Telefon öffnen"),
    "phone how": (
        "For 15 minutes the phone finds its settings at this address. Compare the fingerprint "
        "when the phone asks about the certificate.",
        "15 Minuten lang findet das Telefon seine Einstellungen unter dieser Adresse. Wenn das "
        "Telefon nach dem Zertifikat fragt, bitte den Fingerabdruck vergleichen.",
    ),
    "phone title": ("Mail on this device", "Post auf diesem Gerät"),
    "phone iphone": ("iPhone, iPad, Mac", "iPhone, iPad, Mac"),
    "phone iphone how": (
        "Then: Settings, Profile Downloaded. The device asks for the "
        "password below, and for that of your provider (sending).",
        "Danach: Einstellungen, Profil geladen. Das Gerät fragt nach dem Passwort "
        "unten und nach dem Ihres Anbieters (Senden).",
    ),
    "phone once": (
        "The button makes a password for this device alone. This page works once.",
        "Der Knopf macht ein Passwort nur für dieses Gerät. Diese Seite gilt einmal.",
    ),
    "phone profile": ("Download the profile", "Profil laden"),
    "phone scan how": (
        "Scan it from another screen, or type in the lines below.",
        "Von einem anderen Bildschirm scannen, oder die Zeilen unten eintippen.",
    ),
    "phone trust": (
        "Then trust the certificate: Settings, General, About, Certificate Trust Settings.",
        "Dann dem Zertifikat vertrauen: Einstellungen, Allgemein, Info, "
        "Zertifikatsvertrauenseinstellungen.",
    ),
    "phone android": ("Thunderbird for Android", "Thunderbird für Android"),
    "phone other": ("Another app", "Andere App"),
    "phone over": (
        "This address is used up or too old. Add the device again on the status page.",
        "Diese Adresse ist verbraucht oder zu alt. Bitte das Gerät auf der Statusseite neu "
        "hinzufügen.",
    ),
    # the wizard
    "address": ("E-mail address", "E-Mail-Adresse"),
    "find": ("Find the settings", "Einstellungen suchen"),
    "found in": ("Found: {source}", "Gefunden: {source}"),
    "not found settings": (
        "No settings were found. Your provider's help pages name the POP3 server.",
        "Keine Einstellungen gefunden. Die Hilfe Ihres Anbieters nennt den POP3-Server.",
    ),
    "host": ("POP3 server", "POP3-Server"),
    "pop3 port": ("Port", "Port"),
    "security": ("Security", "Sicherheit"),
    "username": ("User name there", "Benutzername dort"),
    "provider password": ("Password of the provider", "Passwort des Anbieters"),
    "add how": (
        "The login is tried once. Nothing is saved if it fails, and nothing is deleted there.",
        "Die Anmeldung wird einmal versucht. Schlägt sie fehl, wird nichts gespeichert; gelöscht "
        "wird dort nichts.",
    ),
    "add": ("Log in and add", "Anmelden und hinzufügen"),
}

WORDS: Mapping[Language, Mapping[str, str]] = {
    "en": {key: pair[0] for key, pair in _WORDS.items()},
    "de": {key: pair[1] for key, pair in _WORDS.items()},
}


def wanted(accept_language: str) -> Language:
    """`de-CH,de;q=0.9,en;q=0.5` -> de. English for whoever wants neither (RFC 9110 12.5.4)."""
    best: tuple[float, Language] = (0.0, "en")
    for part in accept_language[:1_000].split(","):
        tag, _, parameters = part.strip().partition(";")
        language = tag.strip().lower().partition("-")[0]
        try:
            weight = float(parameters.strip().removeprefix("q=") or 1)
        except ValueError:
            continue
        for each in LANGUAGES:
            if language == each and weight > best[0]:
                best = weight, each
    return best[1]


def say(language: Language, key: str, **values: object) -> str:
    """The words of `key`, with its `{names}` filled in. Raises KeyError for an unknown key."""
    text = WORDS[language][key]
    return text.format(**values) if values else text


def number(language: Language, value: float, digits: int = 0) -> str:
    """`2143` -> `2,143` or `2.143`."""
    text = f"{value:,.{digits}f}"
    return text.translate(str.maketrans(",.", ".,")) if language == "de" else text


def size(language: Language, octets: int) -> str:
    """`1900000000` -> `1.9 GB`, in powers of ten as disks are sold."""
    value = float(octets)
    for unit in ("kB", "MB", "GB", "TB"):
        value /= 1000
        if value < 1000 or unit == "TB":
            return f"{number(language, value, 1 if value < 100 else 0)} {unit}"
    raise AssertionError("the last unit takes all")


def span(language: Language, seconds: float) -> str:
    """`200` -> `3 min`."""
    for unit, name in ((86400, "days"), (3600, "hours"), (60, "minutes"), (1, "seconds")):
        if seconds >= (2 * unit if unit > 60 else unit) or unit == 1:
            return say(language, name, count=int(seconds // unit))
    raise AssertionError("every span has a unit")


def moment(language: Language, when: int, now: int) -> str:
    """`3 min ago`, `in 2 h`; `just now` and `any moment` within a minute, so that a page at rest
    does not change each second."""
    seconds = abs(when - now)
    if seconds < 60:
        return say(language, "now" if when <= now else "soon")
    return say(language, "ago" if when < now else "in", span=span(language, seconds))
