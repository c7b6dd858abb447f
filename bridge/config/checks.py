"""`load`: one pass over one config file that finds all of its mistakes; `find`: which file.

Rules: three layers, all of them run whatever the others found: YAML's problems, the model's
errors, and what keys say together. The last looks at the values as they are written.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic import ValidationError

from bridge import limits
from bridge.auth.secrets import SecretError, read_secret, why_not_private
from bridge.config import tree as yamltree
from bridge.config.models import Config, is_loopback, located
from bridge.config.values import quoted
from bridge.config.wording import SECRET_KEYS, ConfigError, Mistake, dotted, empty, explain
from bridge.model import Security

_TRUE = ("true", "yes", "on", "1", "y", "t")


def find(option: Path | None = None, environ: Mapping[str, str] = os.environ) -> Path:
    """The config file to use: the option, then the environment, then the usual places."""
    if option is not None:
        return option
    if named := environ.get("POPBRIDGE_CONFIG"):
        return Path(named)
    home = environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    own = Path(home) / "popbridge" / "config.yaml"
    return own if own.exists() else Path("/etc/popbridge/config.yaml")


def load(path: Path) -> Config:
    """Reads and checks the file. Raises ConfigError with every mistake that it has."""
    try:
        with path.open("rb") as file:
            raw = file.read(limits.CONFIG_FILE * 4 + 1)
        text = raw.decode("utf-8-sig")
    except OSError as error:
        advice = "name another with --config, or copy config.example.yaml there"
        raise ConfigError(
            [Mistake(str(path), 1, 1, "", f"cannot be read: {error.strerror}", advice)]
        ) from None
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        wrong = Mistake(str(path), line, 1, "", "is not UTF-8 text", "save it as UTF-8")
        raise ConfigError([wrong]) from None
    return _Check(path, yamltree.read(text)).run()


class _Check:
    """One pass over one file: YAML's problems, the model's errors, then what keys say together.

    The last looks at the values as written, so that it finds its mistakes beside the others.
    """

    def __init__(self, path: Path, tree: yamltree.Tree) -> None:
        self.path = path
        self.tree = tree
        self.mistakes: set[Mistake] = set()

    def run(self) -> Config:
        for problem in self.tree.problems:
            self._add_at(problem.place, problem.path, problem.text, problem.advice)
        config = None
        if not self.tree.problems or self.tree.value:
            config = self._model()
            self._empty()
            self._listening()
            self._secrets()
            self._accounts()
            self._logins()
            self._files()
        if self.mistakes or config is None:
            order = sorted(
                self.mistakes, key=lambda each: (each.line, each.column, each.key, each.text)
            )
            raise ConfigError(order)
        return config

    def add(self, path: yamltree.Path, text: str, advice: str) -> None:
        self._add_at(self.tree.place(path), path, text, advice)

    def _add_at(self, place: yamltree.Place, path: yamltree.Path, text: str, advice: str) -> None:
        key = dotted(path)
        self.mistakes.add(Mistake(str(self.path), place.line, place.column, key, text, advice))

    def _model(self) -> Config | None:
        value = self.tree.value
        if not isinstance(value, dict):
            self.add((), "is empty" if value is None else "has no keys", "write accounts: []")
            return None
        try:
            return Config.model_validate(value, context={"folder": self.path.parent.absolute()})
        except ValidationError as error:
            for each in error.errors(include_url=False, include_input=True):
                path = tuple(each["loc"])
                self.add(path, *explain(each, path))
            return None

    def _empty(self) -> None:
        """A key with nothing behind it says nothing, except `web: {listen: null, phone: null}`."""
        for path in self.tree.places:
            if (
                path not in (("web", "listen"), ("web", "phone"))
                and path
                and self._at(path) is None
            ):
                self.add(path, *empty(path))

    def _listening(self) -> None:
        """No address and port twice."""
        seen: dict[str, yamltree.Path] = {}
        for path in self.tree.places:
            value = self._at(path)
            if (
                (path[1:2] == ("phone",) or "listen" in str(path[1:2]))
                and isinstance(value, str)
                and not value.endswith(":0")
            ):
                self._once(seen, value, path)

    def _secrets(self) -> None:
        """Each holder of a secret has one source for it, and says it without a comment behind. A
        login may have none: its devices have passwords of their own; so may a page that only
        this machine reaches."""
        inline = False
        for path, holder in (*self._each("accounts", "pop3"), *self._each("logins"), *self._page()):
            known = ["password", "password_file"]
            known += ["password_command", "oauth"] if path[0] == "accounts" else ["password_hash"]
            given = [key for key in holder if key in known]
            if len(given) > 1:
                text = f"is a second source for this password, beside {given[0]}"
                self.add((*path, given[1]), text, "delete one of the two")
            elif not given and path[0] == "accounts":
                advice = f"write {known[1]}: secrets/name, or {known[0]} or {known[2]}"
                self.add(path, "has no password", advice)
            elif not given and path == ("web",):
                self._reachable(holder)
            for key in given:
                inline = inline or key in SECRET_KEYS - {"password_command"}
                self._cut_secret((*path, key))
        for path, pop3 in self._each("accounts", "pop3"):
            oauth, proxy = pop3.get("oauth"), pop3.get("proxy")
            inline = inline or (isinstance(proxy, str) and "@" in proxy)
            if isinstance(oauth, dict) and "client_secret" in oauth:
                inline = True
                self._cut_secret((*path, "oauth", "client_secret"))
        complaint = why_not_private(self.path) if inline else None
        if complaint:
            self.mistakes.add(
                Mistake(
                    str(self.path), 1, 1, "", f"holds passwords and {complaint[0]}", complaint[1]
                )
            )

    def _reachable(self, web: dict[str, yamltree.Value]) -> None:
        """A page without a password listens on this machine alone."""
        listen = web.get("listen")
        host, _, port = listen.rpartition(":") if isinstance(listen, str) else ("", "", "")
        if host and port.isdigit() and not is_loopback(host.strip("[]")):
            text = "is reachable from the network, and the page has no password"
            advice = "write web: {password_file: secrets/page}, or listen: 127.0.0.1:8025"
            self.add(("web", "listen"), text, advice)

    def _cut_secret(self, path: yamltree.Path) -> None:
        if path in self.tree.commented and path[-1] in SECRET_KEYS:
            text = "has a # behind it: YAML would cut the password there"
            self.add(path, text, "put the password in 'single quotes'")

    def _accounts(self) -> None:
        seen: dict[str, yamltree.Path] = {}
        for path, account in self._each("accounts"):
            address = account.get("address")
            if isinstance(address, str):
                self._once(seen, address.lower(), (*path, "address"))
        for path, pop3 in self._each("accounts", "pop3"):
            host = pop3.get("host")
            if (
                pop3.get("security") == Security.NONE
                and isinstance(host, str)
                and not is_loopback(host)
                and str(pop3.get("allow_plaintext", "false")).lower() not in _TRUE
            ):
                self.add(
                    (*path, "security"),
                    "is none: password and mail would cross the network in clear",
                    "write security: tls, or allow_plaintext: true beside it",
                )
            self._tls(path, pop3)
            self._oauth(path, pop3)

    def _tls(self, path: yamltree.Path, pop3: dict[str, yamltree.Value]) -> None:
        """Keys about TLS want TLS; a pin and a CA are two answers to one question."""
        if "client_key" in pop3 and "client_cert" not in pop3:
            text = "has no client_cert beside it"
            self.add((*path, "client_key"), text, "write client_cert: client.pem")
        if "tls_fingerprint" in pop3 and "ca_file" in pop3:
            text = "is a second proof of the server, beside ca_file"
            self.add((*path, "tls_fingerprint"), text, "delete one of the two")
        if pop3.get("security") == Security.NONE:
            for key in ("tls_fingerprint", "client_cert"):
                if key in pop3:
                    text = "means nothing where security is none"
                    self.add((*path, key), text, "write security: tls, or delete it")

    def _oauth(self, path: yamltree.Path, pop3: dict[str, yamltree.Value]) -> None:
        """What goes with an OAuth sign-in: a way to log in with it, TLS, and its endpoints."""
        auth, oauth, host = pop3.get("auth", "auto"), pop3.get("oauth"), pop3.get("host")
        bearer = oauth is not None or auth in ("xoauth2", "oauthbearer")
        # RFC 7628 4: a bearer token needs TLS; whoever reads it can use it.
        if bearer and pop3.get("security") == Security.NONE and not is_loopback(str(host)):
            text = "is none, and a token must not cross the network in clear"
            self.add((*path, "security"), text, "write security: tls")
        if not isinstance(oauth, dict):
            return
        if auth not in ("auto", "xoauth2", "oauthbearer"):
            text = "is a way to log in with a password, and there is oauth"
            self.add((*path, "auth"), text, "write auth: auto")
        at = (*path, "oauth")
        own = ("token_endpoint", "device_endpoint", "authorization_endpoint", "scope")
        if oauth.get("provider") != "custom":
            for key in [key for key in own if key in oauth]:
                self.add((*at, key), "is for provider: custom", "delete it")
        else:
            if "token_endpoint" not in oauth or "scope" not in oauth:
                text = "has no token_endpoint or no scope, which provider: custom needs"
                self.add(at, text, "write token_endpoint: https://id.example.org/token")
            if "device_endpoint" not in oauth and "authorization_endpoint" not in oauth:
                text = "has no way to sign in: device_endpoint or authorization_endpoint"
                self.add(at, text, "write device_endpoint: https://id.example.org/device")
        if "tenant" in oauth and oauth.get("provider") != "microsoft":
            self.add((*at, "tenant"), "is for provider: microsoft", "delete it")

    def _logins(self) -> None:
        """No login twice; each one that an account uses has an entry."""
        seen: dict[str, yamltree.Path] = {}
        names: set[str] = set()
        for path, login in self._each("logins"):
            name = login.get("name")
            if isinstance(name, str):
                names.add(name)
                self._once(seen, name.lower(), (*path, "name"))
        for path, account in self._each("accounts"):
            key = "login" if account.get("login") else "address"
            wanted = account.get(key)
            if not isinstance(wanted, str) or not wanted or wanted in names:
                continue
            near = [name for name in names if name.lower() == wanted.lower()]
            names.add(wanted)
            advice = (
                f"write {near[0]} in both places"
                if near
                else f"add under logins: - {{name: {quoted(wanted)}, password_file: secrets/"
                f"{re.sub('[^a-z0-9]+', '-', wanted.lower()).strip('-')}}}"
            )
            self.add((*path, key), f"has no entry for its login {quoted(wanted)} in logins", advice)

    def _once(self, seen: dict[str, yamltree.Path], name: str, path: yamltree.Path) -> None:
        first = seen.setdefault(name, path)
        if first != path:
            line = self.tree.place(first).line
            self.add(path, f"is there twice, first on line {line}", "delete one of the two")

    def _files(self) -> None:
        """Files that the config names are there, and secret ones are private."""
        holders = (*self._each("accounts", "pop3"), *self._each("logins"), *self._page())
        for at in [(*path, "password_file") for path, _ in holders]:
            if (file := self._file(at)) and not self._not_private(at, file):
                try:
                    read_secret(file)
                except SecretError as error:
                    self.add(at, str(error), "write the password into it, on one line")
        public: list[yamltree.Path] = [("imap", "certificate", "cert")]
        accounts = [path for path, _ in self._each("accounts", "pop3")]
        public += [(*path, key) for path in accounts for key in ("ca_file", "client_cert")]
        for at in public:
            if (file := self._file(at)) and not (file.is_file() and os.access(file, os.R_OK)):
                self.add(at, f"{file} cannot be read", "name a file in PEM form")
        private: list[yamltree.Path] = [("imap", "certificate", "key")]
        private += [(*path, "client_key") for path in accounts]
        for at in private:
            if file := self._file(at):
                self._not_private(at, file)

    def _not_private(self, path: yamltree.Path, file: Path) -> bool:
        complaint = why_not_private(file)
        if complaint:
            self.add(path, f"{file} {complaint[0]}", complaint[1])
        return complaint is not None

    def _at(self, path: yamltree.Path) -> yamltree.Value:
        value = self.tree.value
        for step in path:
            if isinstance(value, dict) and isinstance(step, str):
                value = value.get(step)
            elif isinstance(value, list) and isinstance(step, int):
                value = value[step]
            else:
                return None
        return value

    def _file(self, path: yamltree.Path) -> Path | None:
        """The file named at `path`, shown as it is seen from here."""
        value = self._at(path)
        named = isinstance(value, str) and value and "\0" not in value
        return located(self.path.parent, str(value)) if named else None

    def _page(self) -> Iterator[tuple[yamltree.Path, dict[str, yamltree.Value]]]:
        if isinstance(web := self._at(("web",)), dict):
            yield ("web",), web

    def _each(
        self, key: str, inner: str | None = None
    ) -> Iterator[tuple[yamltree.Path, dict[str, yamltree.Value]]]:
        """The mappings of a list at the top, or one mapping inside each, whatever is broken."""
        top = self.tree.value
        items = top.get(key) if isinstance(top, dict) else None
        for index, item in enumerate(items if isinstance(items, list) else []):
            path: yamltree.Path = (key, index)
            found = item
            if inner is not None:
                found = item.get(inner) if isinstance(item, dict) else None
                path = (key, index, inner)
            if isinstance(found, dict):
                yield path, found
