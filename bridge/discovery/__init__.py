"""An address -> the POP3 settings of its provider.

    providers.toml   facts about providers, which the schedule and advice use too
    providers.py     the table as values               address.py   me@gmx.de, taken apart
    documents.py     autoconfig XML -> settings, pure   sources.py   what DNS and HTTPS answer
    find.py          all sources, in their order

Rules: what the net answers is hostile until it is checked; the part before the @ goes to nobody.
"""
