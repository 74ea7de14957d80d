"""Names that strangers may give their clips."""

HOSTILE = "<img src=x onerror=alert(1)>"
QUOTES = "q\"uo'te & [/red] #50% {{ 7*7 }}"
SCRIPT = "a<script>alert(1)<"  # a folder may have any name without a slash
