"""popbridge: collects POP3 maildrops, stores every message once, serves it over IMAP.

The map (arrows of import point down only; `tests/test_architecture.py` keeps it true):

    5  cli  daemon                                            everything; nothing imports them
    4  imap.server  web.server  sync.schedule  transfer       sockets, clocks, files
    3  imap.session/commands/table/view   sync.poll           async, no sockets
    2  store.api  bus  pop3.client  discovery  auth  tls ...  doors to disk and to others
    1  imap.protocol  pop3.protocol  mime  sync.plan  sync.identity  profiles  web.page     pure
    0  model  limits

    model.py    the words as values             limits.py   every cap on what a peer may do
    config/     YAML -> values, all mistakes at once        daemon.py   knows everyone
    bus.py      told after commit               tls.py      contexts, own CA, safe upgrades
    indexing.py fills the text index, behind all
    desk.py     what a person at the page may ask
    events.py   the last lines of the log       notify.py   what systemd is told
    messenger.py  alerts to a webhook, ntfy
    spool.py    where incoming bytes wait       logs.py     one line an event
    mime/       message bytes -> structure      pop3/       we are the client
    imap/       we are the server               store/      SQLite behind one door
    sync/       what a poll does                auth/       who may sign in, SASL
    web/        the page, health, control       cli/        one file a command
    profiles/   us, told to mail programs       transfer/   import, export, migration
    discovery/  an address -> POP3 settings     desk.py     what the page asks of the daemon
    trials.py   accounts before they are saved  arrival.py  a new account, into the config
"""

__version__ = "0.1.0"
