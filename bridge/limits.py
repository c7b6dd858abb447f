"""Every cap on what a peer may make us hold or do, in one place.

Rules: octets and seconds unless the name says otherwise; each cap has one test that reaches it.
The figures stand beside those of Dovecot, Cyrus and mox, and are tighter before login.
"""

from __future__ import annotations

# --- IMAP: what a device may send -------------------------------------------------------
IMAP_LINE_BEFORE_LOGIN = 8 * 1024
IMAP_LINE = 64 * 1024
IMAP_TAG = 256  # octets of a tag that we repeat in answers
IMAP_LITERAL_BEFORE_LOGIN = 4 * 1024
IMAP_LITERAL = 100 * 1024
IMAP_COMMAND_BEFORE_LOGIN = 64 * 1024  # line and literals of one command together
IMAP_COMMAND = 1024 * 1024
IMAP_LITERALS_PER_COMMAND = 1_000
IMAP_PIPELINED_INPUT = 256 * 1024  # unread octets at which we stop reading from the socket
IMAP_APPEND = 128 * 1024 * 1024  # the message of an APPEND, or all of them together
IMAP_APPEND_MESSAGES = 64  # of one APPEND (RFC 3502)
IMAP_NESTING = 50  # parentheses, NOT, OR
IMAP_NUMBER_RANGES = 20_000  # items in one sequence set
IMAP_SECTION_DEPTH = 100  # BODY[1.1.1...]
IMAP_HEADER_NAMES = 500  # BODY[HEADER.FIELDS (...)]
IMAP_NOTIFY_MAILBOXES = 1_000  # filters and names in one NOTIFY
IMAP_CONTEXTS = 10  # searches that are kept up to date for one session (RFC 5267)
IMAP_FETCH_SECTIONS = 100  # BODY[...] in one FETCH
IMAP_PARSED = 1_000  # commands as they were sent whose meaning is kept, of each that clients repeat
IMAP_PARSED_LINE = 256  # octets of one
IMAP_BAD_COMMANDS_BEFORE_LOGIN = 3
IMAP_BAD_COMMANDS = 20
IMAP_LOGIN_SECONDS = 60.0  # from connect to a successful login
IMAP_HANDSHAKE_SECONDS = 30.0  # of TLS
IMAP_GIVE_WAY_SECONDS = 10.0  # without a login, after which another may have the connection
IMAP_AUTOLOGOUT_SECONDS = 30 * 60.0  # RFC 3501 5.4: at least 30 minutes
IMAP_SLOWEST = 100  # octets a second of a message, over any minute that it takes
IMAP_SLOWEST_SECONDS = 60.0  # that minute
IMAP_PROGRESS_SECONDS = 1.0  # of work between two INPROGRESS responses
IMAP_WRITE_BUFFER = 256 * 1024  # unsent octets at which a command waits for its reader
IMAP_WRITE_SECONDS = 60.0  # a reader that takes nothing for so long is gone
FETCH_READY = 32 * 1024 * 1024  # octets of answers that are kept for who asks next
FETCH_READY_ENTRY = 16 * 1024  # a longer answer about one message is not kept
READ_AHEAD = 16  # visits to the store whose messages are in memory before they are asked for
READ_AHEAD_OCTETS = 512 * 1024  # of one visit
READ_AHEAD_MESSAGES = 8  # of one visit
ORDERS = 8  # answers to SORT and THREAD of all messages that an open mailbox keeps
RESTING_MAILBOXES = 1_000  # that nobody has selected any more and are still in memory
RESTING_OCTETS = 24 * 1024 * 1024  # of all of them together: 1.4 million messages
SEARCH_COLUMNS = 48 * 1024 * 1024  # octets of columns that answer SEARCH from memory
ROWS_LOGINS = 1_000  # whose mailboxes' figures are kept in memory
ROWS_PER_LOGIN = 1_000
IMAP_CONNECTIONS = 10_000
IMAP_CONNECTIONS_KEPT = 0.1  # of them, for addresses from which somebody signed in before
IMAP_CONNECTIONS_PER_ADDRESS = 100
IMAP_CONNECTIONS_PER_LOGIN = 1_000
IMAP_FAILED_LOGIN_DELAY = 1.0  # doubles with each failure in a row from one address
IMAP_FAILED_LOGIN_DELAY_MOST = 8.0
GUESSES_PER_ADDRESS = 50  # wrong passwords at once; then one more after each GUESS_SECONDS
GUESSES_PER_LOGIN = 100
GUESS_SECONDS = 60.0
PASSWORD = 1024
DEVICES_PER_LOGIN = 100
DEVICE_NAME = 100  # characters

# --- mailboxes --------------------------------------------------------------------------
MAILBOX_NAME = 1_000  # octets of UTF-8
MAILBOX_DEPTH = 50  # levels
MAILBOXES_PER_LOGIN = 10_000
METADATA_NAME = 250
METADATA_VALUE = 64 * 1024
METADATA_ENTRIES = 100  # of one mailbox, or of the server as one login sees it
METADATA_OCTETS = 64 * 1024 * 1024  # of all values of a login
KEYWORD_NAME = 200
KEYWORDS_PER_LOGIN = 1_000

# --- MIME: what a message may make us compute ------------------------------------------
MIME_DEPTH = 100
MIME_PARTS = 10_000
MIME_SEARCHED = 16  # times its size (or 8 MiB) that a message is searched for delimiters
MIME_HEADER_BLOCK = 1024 * 1024  # octets of a header block that are looked at
MIME_HEADERS = 8 * 1024 * 1024  # octets of all header blocks of a message together
MIME_HEADER_FIELD = 256 * 1024  # octets of one field that are parsed
MIME_ADDRESSES = 2_000
MIME_ADDRESS_TOKENS = 20_000  # words, quoted strings, specials and comments of one address list
MIME_PARAMETERS = 128
MIME_ENCODED_WORDS = 512
MIME_COMMENT_DEPTH = 50
MIME_REFERENCES = 100  # message IDs of a References field that THREAD follows

# --- POP3: what a provider may send -----------------------------------------------------
POP3_LINE = 8 * 1024  # status line or listing line
POP3_LISTING_ITEMS = 1_000_000
POP3_UIDL = 1_000  # octets kept as they are; longer ones are kept as a hash
POP3_CAPABILITIES = 200  # lines
POP3_MESSAGE = 128 * 1024 * 1024
POP3_CONNECT_SECONDS = 30.0
POP3_HANDSHAKE_SECONDS = 30.0
POP3_REPLY_SECONDS = 60.0  # silence
POP3_SLOWEST = 100  # octets a second over any minute of waiting for a transfer
POP3_SLOWEST_SECONDS = 60.0  # that minute
POP3_END_MARK_SECONDS = 2.0  # silence after CRLF "." CR that makes it an end mark
POP3_TOP = 1024 * 1024  # octets of a TOP reply that are kept; the rest is read past
POP3_SESSION_SECONDS = 4 * 3600.0
POP3_FETCH_SECONDS = 3600.0  # of asking for messages; then QUIT, and another session goes on
POP3_WINDOW_COMMANDS = 1_000  # outstanding RETR where the server announces PIPELINING
POP3_WINDOW_OCTETS = 8 * 1024 * 1024  # of which half fills a line of 300 Mbit/s and 100 ms
SCRAM_ITERATIONS = 1_000_000  # of PBKDF2: about half a second of a core

# --- sync: what a provider's state may make us do ----------------------------------------
SCAN_APART = 500  # messages to be fetched in a poll, from which on a process helps to scan them
SCAN_SECONDS = 60.0  # that it may keep a batch waiting
NAMELESS_OCTETS = 16 * 1024 * 1024  # fetched again in a poll where there is neither UIDL nor TOP
DELETES_PER_POLL = 200  # at the provider, where the policy asks for it
DELETE_READ_BACK = 256 * 1024 * 1024  # octets that are verified for deletes in one poll

# --- OAuth: what an identity provider may send ------------------------------------------
OAUTH_ANSWER = 64 * 1024
OAUTH_TOKEN = 16 * 1024  # characters of a token; Microsoft's have been seen over 4,096
OAUTH_SECONDS = 30.0  # for one request
OAUTH_LOGIN_SECONDS = 30 * 60.0  # for a person to sign in, whatever the provider allows
OAUTH_REDIRECT = 16 * 1024  # octets of a browser's request on loopback

# --- transfer: what files and servers may make us hold -----------------------------------
TRANSFER_MESSAGE = 128 * 1024 * 1024  # a message of an import
TRANSFER_IMAP_LINE = 1024 * 1024  # a response of a server without its literals
TRANSFER_IMAP_SECONDS = 300.0  # of silence, where an answer is owed
TRANSFER_CONNECT_SECONDS = 30.0

# --- store ------------------------------------------------------------------------------
CHUNK = 256 * 1024  # of message bytes in a row
TEXT_INDEXED = 1024 * 1024  # characters of a message; with more it is read by each search
TOMBSTONES = 50_000  # (UID, MODSEQ) of expunged entries kept for a mailbox
DISK_RESERVE = 64 * 1024 * 1024  # free octets below which nothing more is taken in
SPOOL_IN_MEMORY = 1024 * 1024  # a larger message waits for the store on disk
BATCH_MESSAGES = 64  # that share a commit
BATCH_OCTETS = 4 * 1024 * 1024
BATCH_SECONDS = 0.25

# --- discovery: what the net may answer about a domain -------------------------------------
ADDRESS = 320  # characters of a mail address
HOST_NAME = 1_000  # characters of a domain before it is encoded
DISCOVERY_ANSWER = 128 * 1024  # of an autoconfig document
DISCOVERY_SECONDS = 5.0  # of silence, for one question

# --- config: what a file may make us hold -----------------------------------------------
CONFIG_FILE = 1024 * 1024  # characters
CONFIG_DEPTH = 20  # lists and mappings in each other
CONFIG_VALUES = 100_000  # after aliases are unfolded
SECRET_COMMAND_SECONDS = 30.0

# --- web --------------------------------------------------------------------------------
WEB_CONNECTIONS = 64
EVENTS = 500  # lines of the log that are kept in memory
WEB_HEADER = 16 * 1024
WEB_BODY = 64 * 1024
WEB_REQUEST_SECONDS = 10.0  # for the head of a request, and again for its body
WEB_ACTION_SECONDS = 60.0  # for what a button asks of a provider
WEB_SESSIONS = 100
MESSENGER_SECONDS = 30.0  # for one try to tell a webhook or ntfy
PHONE_SECONDS = 15 * 60.0  # that a code of the page for phones is good
PHONE_CODES = 20  # open at once
PHONE_WRONG_CODES = 20  # until all are void
WEB_SESSION_SECONDS = 7 * 24 * 3600.0  # without a request
AUTODISCOVER_REQUEST = 16 * 1024  # octets of a question of Outlook's
