"""What a device itself says: its message without the text that others wrote. Pure.

URLs, user agents, mail subjects, DNS names, SQL, commands, file names and the comments of guests
are data that a device only repeats: "kernel panic" in one of them is no kernel panic. They are
found by the quotes around them, and by what the device writes before them. Each becomes
``HIDDEN``, so that a pattern still finds something in its place.

A single word in quotes (``interface "ether1"``) names a thing, and stays unless it alarms.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

HIDDEN = "…"
LONGEST_NAME = 64  # characters of a name that stays

CHAT = "chat.message"  # label with what somebody wrote in a chat that was exported

# Labels whose values others write; readers of formats fill them, and messages may repeat them.
FOREIGN_LABELS = (
    *("url.full", "url.path", "url.query", "user_agent.original", "http.request.header.referer"),
    *("user.name", "user.full_name", "email.subject", "email.from.address", "email.to.address"),
    *("db.query.text", "db.statement", "process.command_line", "process.command_args"),
    *("file.name", "file.path", "dns.question.name", "wifi.ssid", "client.name"),
    CHAT,
)

# A name with one of these is no name to keep: the patterns of detection look for such words.
_ALARMING = re.compile(
    r"panic|fail|err(?:or)?\b|error|fatal|critical|alert|emerg|warn|memory|oom|space|full\b|batter"
    r"|down(?!load)|lost|loss|(?<!de)fault|crash|corrupt|degrad|unreach|unavail|denied|refus|reject|invalid"
    r"|attack|virus|malware|overheat|overload|alarm|exhaust|abort|broken|kill|segfault|traceback"
    r"|exception|time-?d?-?out|expire|offline|reboot|restor|recover|flood|blackout|not[-_.]|no[-_.]"
    r"|jamm|spoof|\bon[-_.]|stop|dead|too[-_.]",
    re.IGNORECASE,
)
_NAME = re.compile(r"\S+|[A-Za-z]\w*(?:[ -]\w+){0,2} ?#?\d{1,4}")  # ether1, "WAN 1"
_STATE = re.compile(r"[A-Za-z]{2,16}")
_STATE_BEFORE = re.compile(
    r"\b(?:state|status|health|condition|severity|level|result|to|from|is|now|became|into|was)"
    r"(?:\s+is)?\s*[:=]?\s*$",
    re.IGNORECASE,
)
# Fields in quotes that are the device's own sentence, where no reader has taken the quotes away.
_OWN_BEFORE = re.compile(
    r"(?:^|[\s,;\[{(|])\"?(?:msg|message|log|logdesc|err|error|errors|reason|cause|status|state|event"
    r"|alarm|result|(?<!de)fault|exception|trap|summary_?text|event_?name|level|severity|action)\"?"
    r"(?:\s*[:=]\s*|\s)$",
    re.IGNORECASE,
)

_CLOSING = {'"': '"', "“": "”", "„": "“", "«": "»", "»": "«", "`": "`'", "'": "'"}
_QUOTED = re.compile(
    r"""(?<![\w"\\])"(?P<double>(?:[^"\\]|\\.)*)(?:"|\\?$)"""
    r"|“(?P<high>[^”]*)(?:”|$)|„(?P<low>[^“”]*)(?:[“”]|$)|«(?P<out>[^»]*)(?:»|$)|»(?P<in>[^«]*)(?:«|$)"
    r"|(?<![\w`])`(?P<back>[^`']*)(?:[`']|$)"
    r"|\u2018(?P<curly>[^\u2019]*)\u2019"
    r"|(?<![\w'])'(?P<single>[^']*)'(?!\w)",
    re.DOTALL,
)
_QUOTES = re.compile("[\"'“„«»`\u2018]")
_FOREIGN = frozenset(FOREIGN_LABELS)


def statement(text: str, labels: Mapping[str, str]) -> str:
    """The message *text* of a line with *labels*, with ``HIDDEN`` for what others wrote."""
    said = text if _FOREIGN.isdisjoint(labels) else _without_labels(text, labels)
    if _QUOTES.search(said):
        said = said if _is_one_quotation(said) else _QUOTED.sub(_unquoted, said)
    for pattern in _possible(said):
        said = pattern.sub(_hide, said)
    return said


def _possible(text: str) -> Iterator[re.Pattern[str]]:
    """The patterns of rules that may find something in *text*, in the order of the rules."""
    bits = 0
    words = text.encode("utf-8", "surrogatepass").translate(_LOWER_CASE).split()
    for word in words:
        if word in _WORDS:
            bits |= _WORDS[word]
    for mark, bit in _MARKS:
        if mark in text:
            bits |= bit
    while bits:
        lowest = bits & -bits
        yield _PATTERNS[lowest]
        bits ^= lowest


def chat_of(text: str) -> str:
    """What somebody wrote, if *text* is of a chat that was exported; else empty."""
    found = _CHAT.match(text)
    return found["text"] if found else ""


def _without_labels(text: str, labels: Mapping[str, str]) -> str:
    for name in FOREIGN_LABELS:
        value = labels.get(name)
        if value and len(value) > 2 and value in text and not _is_name(value):
            text = text.replace(value, HIDDEN)
    return text


def _is_name(text: str) -> bool:
    """Whether *text* may stay as the name of a thing: short, and without an alarming word."""
    return (
        len(text) <= LONGEST_NAME
        and _NAME.fullmatch(text) is not None
        and _ALARMING.search(text) is None
    )


def _is_one_quotation(text: str) -> bool:
    """A message that is in quotes as a whole is the device's own."""
    closing = _CLOSING.get(text[0]) if len(text) > 1 else None
    return closing is not None and text[-1] in closing and not any(c in text[1:-1] for c in closing)


def _unquoted(match: re.Match[str]) -> str:
    whole, kind = match[0], match.lastgroup or ""
    inside = match[kind]
    if not inside or _is_name(inside):
        return whole
    before = match.string[max(0, match.start() - 24) : match.start()]
    if kind in ("single", "curly", "back") and not re.search(r"[\s._-]", inside):
        return whole  # 'failed' is a word of the device
    if _OWN_BEFORE.search(before) or (_STATE.fullmatch(inside) and _STATE_BEFORE.search(before)):
        return whole
    start = match.start(kind) - match.start()
    return whole[:start] + HIDDEN + whole[start + len(inside) :]


def _hide(match: re.Match[str]) -> str:
    """*match* without its groups ``text…``, and without ``name…`` if it is no name to keep."""
    whole, offset = match[0], match.start()
    for group in sorted(match.re.groupindex, key=match.start, reverse=True):
        found = match[group]
        if not found or (group.startswith("name") and _is_name(found)):
            continue
        start = match.start(group) - offset
        whole = whole[:start] + HIDDEN + whole[start + len(found) :]
    return whole


@dataclass(frozen=True, slots=True)
class _Rule:
    """*pattern* is tried only where one of *words* or *marks* occurs, which is faster."""

    words: tuple[str, ...]  # runs of letters, in lower case
    marks: tuple[str, ...]
    pattern: re.Pattern[str]


def _rule(words: str, pattern: str, flags: re.RegexFlag = re.IGNORECASE) -> _Rule:
    return _Rule(tuple(words.split()), (), re.compile(pattern, flags | re.DOTALL))


def _marked(marks: str, pattern: str, flags: re.RegexFlag = re.IGNORECASE) -> _Rule:
    """*marks* are separated by ``|``."""
    return _Rule((), tuple(marks.split("|")), re.compile(pattern, flags | re.DOTALL))


_NEXT_FIELD = r"(?=[\s,;|]+[\w.-]{1,40}=|[;|]|$)"
_ENDS = r"(?=\s{2,}|[\t,;|]|\s[A-Z][\w ]{0,30}:\s|$)"

_METHOD = r"(?:GET|POST|PUT|HEAD|DELETE|PATCH|OPTIONS|CONNECT|PROPFIND|MKCOL)"
# 30/11/2026, 12:01 - Anna: ...
_CHAT = re.compile(
    r"\[?\d{1,2}[/.]\d{1,2}[/.]\d{2,4}, \d{1,2}:\d\d(?::\d\d)?(?: ?[AP]M)?(?:\]| -) "
    r"[^:]{1,60}: (?P<text>.*)",
    re.DOTALL,
)
# What a device counts when it says that there is none of it.
_TROUBLE = (
    r"(?:errors|failed|failures|faults|lost|dropped|mismatches|time-?outs|alarms|warnings|exceptions"
    r"|rejected|infected|(?:bad|reallocated|pending) sectors)"
)
_LOGINS = (
    *("password", "publickey", "none", "pam", "mic", "login", "logon", "failure"),
    *("session", "opened", "closed"),
)
_BEFORE_FOR = "|".join(f"(?<={word} for )" for word in _LOGINS)

_RULES: tuple[_Rule, ...] = (
    # -- the web: URLs, requests, agents
    _marked(
        "://", r"\b[a-z][a-z0-9+.-]{1,15}://(?P<name>[^\s/?#\"'<>|]*)(?P<text>[/?#][^\s\"'<>|]*)?"
    ),
    _marked(  # Squid
        "TCP_|NONE/|NONE_",
        rf"\b{_METHOD} +(?P<text>\S.{{0,2000}}?)"
        r"(?= \S+ (?:HIER_|FIRSTUP|DIRECT|NONE|ORIGINAL)\w*/)",
        re.NOFLAG,
    ),
    _marked("HTTP/", rf"\b{_METHOD} +(?P<text>[^\s].{{0,1000}}?)(?=\sHTTP/\d)", re.NOFLAG),
    _rule(
        "get post put head delete patch options connect propfind mkcol",
        rf"\b{_METHOD} +(?!(?:fail|pass|error|test|code|ok|done|complete)\w*\b)"
        r"(?P<text>[/*%\w…]\S*)",
        re.NOFLAG,
    ),
    _rule("agent", rf"\buser[-_ ]?agent\s*[:=]\s*(?P<text>[^\"].*?){_NEXT_FIELD}"),
    _rule("refer referer referrer", r"\breferr?er\s*[:=]\s*(?P<text>\S+)"),
    _rule(
        "url uri path query",
        rf"(?<![\w.])(?:url|uri|request_?path|path|query)=(?P<text>[^\"\s].*?){_NEXT_FIELD}",
    ),
    _rule(
        "exist stat configuration found",
        r"(?:file does not exist|not found or unable to stat|by server configuration|not found):"
        r"\s(?P<text>/.*)",
    ),
    # -- mail
    _rule(
        "header",
        r"\bheader (?:[\w-]{2,40}): (?P<text>.*?)"
        r"(?=(?: from \S{1,255};(?: from=| to=| proto=).*)?$)",
    ),
    _rule("subject", r"\bsubject\s*[:=](?!\s*/?(?:CN|C|O|OU|DC|ST|L)\s?=)\s*(?P<text>\S.*)"),
    _marked("=<", r"\b[\w-]{1,40}=<(?P<name>[^>]*)>"),
    _marked("@", r"<(?P<name>[^<>@]{1,120}@[^<>]{1,255})>"),
    _marked("@", r"(?P<name>[\w.+-]{1,64}@[A-Za-z][\w-]{0,62}\.[\w.-]{1,255})(?<!\.service)"),
    _marked("H=(", r"\bH=(?:[\w.-]{1,255} )?\((?P<name>[^()]{0,255})\)"),  # Exim
    _rule("said", r"\bsaid: (?P<text>.+?)(?=\s*\(in reply to|\)?$)"),
    # -- names that somebody logs in with, or that his computer tells
    _rule(
        "invalid illegal unknown",
        r"(?:nvalid|llegal|nknown) user +(?!name\b)(?P<name>\S.{0,255}?) (?=from )",
        re.NOFLAG,
    ),
    _rule(  # a pattern that begins with a character is fast: what stands before it is tested later
        "for",
        rf" for (?:{_BEFORE_FOR})(?:(?:invalid|illegal) )?(?:user )?"
        r"(?P<name>(?!(?:invalid |illegal )?user )[^\s:](?:[^:]{0,255}?))"
        r"(?=[ ]from[ ]|[ ]by[ ]|\(uid|[ ]via[ ]\w+$|$)",
        re.NOFLAG,
    ),
    _marked(
        "user=|name=|login=|account=|acct=|User=|Name=",
        r"=(?:(?<=user=)|(?<=name=)|(?<=login=)|(?<=account=)|(?<=acct=))"
        rf"(?P<name>[^\"'<\s].*?){_NEXT_FIELD}",
    ),
    _rule("user username", rf"\buser ?name\s*[:=]\s*(?P<name>[^\"'\s].*?){_ENDS}"),
    _rule("user username", r"\[user(?:name)?: ?(?P<name>[^\[\]]{0,255})\]"),
    _rule("login", r"\blogin (?:ok|incorrect)[^:\[]{0,60}: \[(?P<name>[^\[\]]{0,255})\]"),
    _rule("user", r"\buser: ?(?P<name>[^\"'\s,;]+)"),
    _rule(
        "name",
        r"\b(?:account|workstation|computer|client|logon|host|device|document|file|job|display|caller"
        rf"|network|system|target user|event) ?name:\s*(?P<name>[^\"'\s].*?){_ENDS}",
    ),
    _rule(
        "hostname client station machine computer workstation clienthostname clientname",
        r"\b(?:client(?:[- ]host)?(?:name)?|hostname|(?:work)?station|computer|machine)[ :=]+"
        r"(?P<name>[a-z0-9]+[-_.][\w.-]+)",
    ),
    _rule(
        "dhcpack dhcprequest dhcpdiscover dhcpoffer dhcprelease dhcpinform assigned lease",
        r"\b(?:[0-9a-f]{2}[:-]){5}[0-9a-f]{2}\s+(?:\((?P<name1>[^)]*)\)|(?P<name2>[\w-]*[-_.][\w.-]+))",
    ),
    _rule(
        "dhcpack assigned",
        r"\b(?:DHCPACK\b|assigned ).{0,80}?(?:[0-9a-f]{2}[:-]){5}[0-9a-f]{2} (?P<name>[^(\s].*)",
    ),
    _rule("assign renew release update", r"(?:\d{1,3}\.){3}\d{1,3},(?P<name>[^,]*),"),
    _rule(
        "sysname syslocation syscontact sysdescr ifalias",
        r"\b(?:sysName|sysLocation|sysContact|sysDescr|ifAlias)[\w.]*\s*(?:[:=]\s*)*(?:STRING:\s*)?"
        r"(?P<name>[^\"'\s:=].*?)(?=\s{2,}|[\t,;]|$)",
    ),
    _rule("system", r"\bsystem name[ :=]+(?P<name>[^\"'\s,;][^\",;]*)"),
    _rule("ssid bssid essid", rf"\b[eb]?ssid\s*[:=]\s*(?P<name>[^\"'\s].*?){_NEXT_FIELD}"),
    _rule(
        "ssid bssid essid",
        r"\b[eb]?ssid (?:(?P<name1>[^\"'\s:=]+)(?= (?:is|has|was|went|enabled|disabled)\b)"
        r"|(?P<name2>[^\"'\s:=].*?)(?=[,;)\]]|\s(?:[eb]ssid|channel|chan|rssi|mac|was"
        r"|detected|at|from|by|seen|client|radio|interface)\b|$))",
    ),
    _rule(
        "caller clid cid callerid callername calleridname calleridnum",
        rf"\b(?:caller[-_ ]?(?:id)?[-_ ]?(?:name|num)?|clid|cid[-_ ]name)\s*[:=]\s*"
        rf"(?P<name>[^\"'\s].*?){_NEXT_FIELD}",
    ),
    _rule("sip sips", r"\bsips?:(?P<name>[^@\s;>]+)@"),
    # -- names that somebody asks for
    _marked(
        "): query|): view|): rpz|): update|): transfer",
        r"\((?P<name>[^()]{1,255})\):(?= (?:view \S+: )?(?:query|rpz|update|transfer))",
    ),
    _marked(
        " IN| CH | ANY ",
        r"(?<!\S)(?P<name1>[\w*-][\w.*-]+)"
        r"(?=[ ](?:IN|CH|ANY)[ ][A-Z]{1,10}\b|[ ][A-Z]{1,10}[ ]IN\b)"
        r"|<(?P<name2>[\w.*-]+)(?= [A-Z]{1,10} IN>)",
        re.NOFLAG,
    ),
    _rule(
        "query forwarded reply cached config blocked validation",
        r"\b(?:query\[[\w=]+\]|forwarded|reply|cached|config|blocked|validation)[ ]"
        r"(?P<name>[\w*-].{0,255}?)(?=[ ](?:from|to|is)[ ])",
        re.NOFLAG,
    ),
    _marked("/IN", r"(?P<name>[\w*-][\w.*-]+)(?=/(?:[A-Z]{1,10}/)?IN\b)", re.NOFLAG),
    _rule("rewrite", r"\brewrite (?P<text>\S.*)"),
    # -- commands and SQL
    _rule("pwd", r"\bPWD=(?P<text>.*?)(?= ; |$)"),
    _rule("command cmd cmdline", r"\b(?:command|cmd|cmdline)\s?[=:]\s*(?P<text>[^\"].*)"),
    _rule("cmd cmdout cmdend", r"\) CMD(?:OUT|END)? \((?P<text>.*)\)?", re.NOFLAG),
    _rule("cmd", r"\bpid \d+ cmd (?P<text>.*)"),
    _rule("history", r"\bHISTORY: (?P<text>.*)"),
    _rule(
        "statement query sql running parameters executing",
        r"(?:\b(?:statement|query|sql|executing|last query(?: was)?)|was running"
        r"|parameters(?=: \$\d)):\s*(?P<text>\S.*)",
    ),
    _rule("execute parse bind", r"\bms\s+(?:execute|parse|bind) [^:]{1,80}: (?P<text>.*)"),
    _rule(
        "select insert update delete",
        r"\b(?:SELECT\s+(?P<text1>\S.{0,500}\sFROM\s.*)|INSERT INTO\s+(?P<text2>.*)"
        r"|DELETE FROM\s+(?P<text3>.*)|UPDATE\s+(?P<text4>\S+ SET\s.*))",
        re.NOFLAG,
    ),
    # -- files and documents
    _rule("document", r"\bdocument \d+, (?P<text>.*?)(?= owned by |$)"),
    _rule(
        "file",
        r"\b(?:opened|closed|created|deleted|renamed|uploaded|downloaded|unlinked|sent"
        r"|received) file (?P<text>[^\"'\s].*?)(?=\s(?:read=|write=|\(|to |from |by |as )|$)",
    ),
    _rule("uploaded downloaded", r"(?<!\S)(?P<text>/\S.{0,1000}?)(?=\s(?:uploaded|downloaded)\b)"),
    _rule("stor retr dele rnfr rnto mkd", r"\b(?:STOR|RETR|DELE|RNFR|RNTO|MKD) (?P<text>[^\"]+)"),
    _rule("ok fail", r"\|(?:ok|fail[^|]{0,80})\|(?P<text>.*)"),  # Samba's audit of files
    _rule("found", r"(?<!\S)(?P<text>/.{1,1000}?)(?=: \S+ FOUND\b)", re.NOFLAG),
    _rule(
        "file filename attachment attachments",
        rf"\b(?:(?:file[_ ]?name|attachments?)\s*[:=]\s*|file=)(?P<name>[^\"'\s].*?){_NEXT_FIELD}",
    ),
    # -- what people write in jobs, tickets, chats and comments
    _rule(
        "comment comments remark remarks title jobtitle caption body job jobname",
        r"\b(?:comments?|remarks?|(?:job|document|window|mail)?[-_ ]?title|caption|body"
        rf"|job[-_ ]?name)(?:\s*=\s*(?P<text1>[^\"'\s].*?){_NEXT_FIELD}|:\s+(?P<text2>[^\"'\s].*))",
    ),
    _rule("logged", r"\blogged command:\s*(?P<text>.*)"),
    _rule(
        "description",
        r"\b(?:job|ticket|task|guest|work ?order|request|cabin|interface|port|vlan)\b.{0,200}?"
        r"\bdescription\s*[:= ]\s*(?P<text>[^\"'\s].*)",
    ),
    _rule(
        "job ticket work workorder request complaint reservation booking",
        r"\b(?:job|ticket|work ?order|(?:maintenance|service|guest|repair) request|complaint"
        r"|reservation|booking)\b\s*#?[\w-]*\s[^:]{0,60}?\b(?:created|opened|added|submitted|commented|entered"
        r"|filed|noted|raised)\b[^:]{0,60}?(?::| -)\s(?P<text>[^\"].*)",
    ),
    _rule(
        "ticket work workorder complaint",
        r"\b(?:ticket|work ?order|complaint)\b\s*#?[\w-]*\s(?:was |has been |is )?"
        r"(?:closed|completed|finished|resolved|updated)(?::| -) (?P<text>[^\"].*)",
    ),
    _rule(
        "guest passenger visitor crew cabin",
        r"\b(?:guest|passenger|visitor|crew member|cabin \w+)\b[^:]{0,60}\b(?:says?|said|wrote"
        r"|writes|reports?|reported|comments?|commented|complains?|complained|asks?|asked|entered|typed"
        r"|posted)\b[^:]{0,30}?:?\s(?P<text>[^\"].*)",
    ),
    _rule("guest user crew", r"\bby (?:guest|user|crew)\b[^:]{0,60}:\s(?P<text>[^\"].*)"),
    _rule(
        "chat sms whatsapp telegram text instant privmsg",
        r"(?<!\S)(?:chat(?: message| room)?|sms|whatsapp|telegram|(?:text|instant) message)\b"
        r"[^:]{0,80}:\s(?P<text1>\S.*)|\bPRIVMSG \S{1,80} :(?P<text2>.*)",
    ),
    _Rule((), (" - ", "] "), _CHAT),
    # -- what did not happen: "with 0 errors", "failed=0", "alarms: none"
    _marked(
        " 0 |(0 |zero ",
        r"(?:[,;(.]|\b(?:with|and|found|had|has|detected|completed|finished|successfully):?)\s?"
        rf"(?:0|zero) (?P<text>(?:[\w-]+ ){{0,2}}?{_TROUBLE})\b",
    ),
    _marked(
        "0|one",
        rf"\b(?P<text>{_TROUBLE}|error|failure|fault)\s?[:=]\s?(?:0|none)\b"
        r"(?=\s*(?:[,;|)\]}]|\.?$|[\w.]{1,40}[:=]))",
    ),
    _marked(
        "> ",
        r"^#\S+ <[@+ ]?(?!(?:err|warn|info|debug|crit|notice)\w*>)"
        r"[A-Za-z][\w.-]{0,30}> (?P<text>\S.*)",
    ),
)

_PATTERNS = {1 << number: rule.pattern for number, rule in enumerate(_RULES)}
_MARKS = [(mark, 1 << number) for number, rule in enumerate(_RULES) for mark in rule.marks]
_WORDS: dict[bytes, int] = {}
for _number, _each in enumerate(_RULES):
    for _word in _each.words:
        _WORDS[_word.encode()] = _WORDS.get(_word.encode(), 0) | 1 << _number
# Letters in lower case, all else blank.
_LOWER_CASE = bytes(
    ord(chr(n).lower()) if n < 128 and chr(n).isalpha() else ord(" ") for n in range(256)
)
