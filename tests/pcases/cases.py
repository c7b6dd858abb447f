"""The table of the cases: id, area (the file of its test), and what the server does."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Case:
    id: str
    area: str
    text: str


CASES = tuple(
    Case(*(part.strip() for part in line.split("|", 2)))
    for line in """
P001 | uidl | every UIDL changed between two polls, same N messages, same bytes
P002 | uidl | every UIDL changed and 3 really new messages among them
P003 | uidl | every UIDL changed, provider also added one Received/X- header to each message
P004 | uidl | half of the UIDLs changed (server merge)
P005 | uidl | UIDLs flip back to the old set after the change
P006 | uidl | two messages with different bytes share one UIDL in one listing
P007 | uidl | two messages of identical bytes under one UIDL (RFC 1939 allows hashes) or under two
P008 | uidl | UIDL of a deleted message is reused later for a new message
P009 | uidl | UIDL reused while Gmail-like server renumbers daily
P010 | uidl | empty UIDL for one message ("7 \\r\\n")
P011 | uidl | UIDL line missing for message 4 of 9 (race or server bug)
P012 | uidl | UIDL of 71, 128, 129, 500, 5000 bytes
P013 | uidl | UIDL with spaces, quotes, slash, .., NUL, 0x80-0xFF, format codes, SQL quote
P014 | uidl | three spaces between number and UIDL; trailing spaces; lower-case reply
P015 | uidl | UIDL answers -ERR unknown command
P016 | uidl | CAPA lists UIDL but UIDL answers -ERR
P017 | uidl | UIDL n answers without the number or as multi-line
P018 | uidl | numbers of UIDL out of order, repeated, 0, negative, 2^32, beyond STAT count
P019 | uidl | message numbers shift between sessions after another client deleted message 1
P020 | uidl | UIDL listing and LIST disagree because a message came in between
P021 | uidl | 100000-line UIDL listing
P022 | uidl | 1000000-line UIDL listing that never ends
P023 | uidl | listing is empty although 5000 were there yesterday (provider outage)
P024 | uidl | UIDLs differ only in case
P025 | uidl | server switches to Message-ID as UIDL, spam lacks Message-ID so UIDL is blank
P026 | list | LIST size smaller than RETR bytes by 1..1000x
P027 | list | LIST size larger than RETR bytes (attachments never sent, InterChange/MailMax case)
P028 | list | LIST size 0, -1, 2^31, 2^63, "abc"
P029 | list | LIST rounded to 1024 (OpenMail) or compressed size (Exchange)
P030 | list | STAT count 10, LIST 9 lines, UIDL 11 lines
P031 | list | -ERR line in the middle of a LIST or UIDL listing
P032 | list | listing without final dot then silence
P033 | list | listing ended by .LF or . CR only
P034 | retr | line starting with one dot, stuffed correctly
P035 | retr | line starting with a dot NOT stuffed by the server (.hidden)
P036 | retr | unstuffed lone dot line in the middle of a body
P037 | retr | body with LF . LF (bare LF dot line) inside a CRLF message
P038 | retr | bare LF lines throughout
P039 | retr | bare CR inside lines
P040 | retr | NUL bytes in header and body
P041 | retr | 8-bit headers, invalid UTF-8, GBK, Shift-JIS raw
P042 | retr | message without final CRLF; Exchange style text. (dot glued to last line)
P043 | retr | empty message (just CRLF.CRLF)
P044 | retr | message with no header block, or only a header and no blank line
P045 | retr | single body line of 3000, 70000, 10 MiB, 100 MiB bytes
P046 | retr | single header line of 1 MiB and of 60 MiB
P047 | retr | 100 MiB message
P048 | retr | message larger than configured cap
P049 | retr | connection closed at every byte position of a 4 KiB RETR (4096 runs)
P050 | retr | connection reset after the last body byte but before CRLF.CRLF
P051 | retr | connection lost after CRLF.CRLF before QUIT
P052 | retr | RETR of message 3 answered with the body of message 4
P053 | retr | RETR answers -ERR message corrupt for one message for ever
P054 | retr | RETR answers -ERR [SYS/TEMP]
P055 | retr | +OK then 30 s silence then body one byte per second
P056 | retr | infinite RETR body (never ends)
P057 | retr | final mark is CRLF . CR and no LF (Cyrus issue 4717)
P058 | retr | TOP cut at 64-82 kB (Maillennium) or TOP answers OK twice (FTGate)
P059 | retr | two messages pipelined, replies interleaved wrongly
P060 | retr | DKIM-signed message fetched then read by IMAP
P061 | retr | +OK line contains CRLF-less 1 MiB text
P062 | dele | DELE accepted, connection lost before QUIT
P063 | dele | QUIT answers -ERR some deleted messages not removed
P064 | dele | delete-after-N-days on, clock jumps 10 years forward
P065 | dele | delete mode on, store commit failed for message 5 of 10
P066 | dele | delete mode on, UIDL duplicated within the listing
P067 | dele | keep mode: 1000 polls against a recording peer
P068 | dele | user expunges in IMAP in keep mode
P069 | dele | tombstoned UIDL then UIDL storm
P070 | resp | greeting -ERR, empty greeting, HTTP reply, SMTP 220, binary junk
P071 | resp | -ERR [IN-USE] at PASS
P072 | resp | -ERR [LOGIN-DELAY] and CAPA LOGIN-DELAY 900
P073 | resp | -ERR [SYS/TEMP] at PASS, USER, STAT
P074 | resp | -ERR [SYS/PERM]
P075 | resp | -ERR [AUTH] or plain -ERR bad password
P076 | resp | -ERR authentication failed while provider has POP switched off (GMX)
P077 | resp | -ERR exceeded the login limit for a 15 minute period, no code
P078 | resp | server cuts the connection without reply when polled under 60 s (OVH)
P079 | resp | 100 accounts at one host, host down
P080 | resp | reply text with ANSI escapes, CRLF, HTML script, 100 kB
P081 | resp | +OK and -ERR in lower case, "+OKAY", "+OK" without text
P082 | resp | CAPA unknown, CAPA endless, CAPA with STLS after login
P083 | resp | one reply split in 1-byte TCP segments, two replies in one segment
P084 | tls | STLS not offered though configured as required
P085 | tls | STLS answered -ERR
P086 | tls | STLS +OK followed in the same segment by +OK injected reply
P087 | tls | STLS +OK then TCP silence for ever
P088 | tls | self-signed, expired, not-yet-valid, wrong name, wrong CA, NUL in CN certificate
P089 | tls | pinned certificate changes
P090 | tls | only TLS 1.0/1.1, only RC4, null cipher
P091 | tls | greeting claims already authorised / APOP banner trick before TLS
P092 | tls | capabilities before TLS differ from after
P093 | tls | server sends close_notify in the middle of RETR
P094 | tls | truncation without close_notify after CRLF.CRLF
P095 | net | SYN accepted, no banner for ever
P096 | net | banner one byte per 10 s
P097 | net | DNS failure, NXDOMAIN, resolves to 0.0.0.0 / link-local / metadata address
P098 | net | IPv6 dead, IPv4 alive
P099 | net | 1000 polls each dropped at a random byte (seeded)
P100 | net | peer sends 1 GiB before the greeting
P101 | prov | Gmail model: 250 oldest per session, popped after RETR+QUIT, relisted if no QUIT
P102 | prov | Gmail model, setting "delete Gmail's copy", store full on message 7
P103 | prov | Gmail recent: mode, 30-day window slides
P104 | prov | Gmail returns own sent mail
P105 | prov | provider deletes after retrieval regardless of DELE
P106 | prov | provider lists only last 30 days (QQ default)
P107 | prov | OAuth token expires mid-session / refresh token revoked
P108 | prov | minimum interval 720 s (web.de) with poll set to 60 s
""".strip().splitlines()
)
