"""Us, told to mail programs: a QR code, an Apple profile, autoconfig, Autodiscover. Pure.

    access.py        how a device reaches us
    settings.py      what a mail program must know        qr.py            Thunderbird for Android
    mobileconfig.py  iPhone, iPad, Mac                     autoconfig.py    Thunderbird, own domains
                                                           autodiscover.py  Outlook, own domains

A mail program cannot find us by itself for me@gmx.de: whatever it asks leads to GMX. So the
settings are handed over, and the last two serve those who own their domain.
"""
