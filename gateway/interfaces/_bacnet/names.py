"""Names and numbers of ASHRAE 135 (clause 21): object types and properties with their datatypes, units, reliabilities."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping

PRESENT_VALUE, PRIORITY_ARRAY, STATUS_FLAGS, RELIABILITY, UNITS_OF, STATE_TEXT = 85, 87, 111, 103, 117, 110
"""The numbers of the properties that the driver reads by itself."""
SCHEDULE = 17
"""An object type whose present value may be of any datatype (ASHRAE 135, 12.24)."""

_OBJECT_TYPES = {
    "real": """
analog-input=0 analog-output=1 analog-value=2 loop=12 pulse-converter=24 lighting-output=54 staging=60
""",
    "enumerated": """
binary-input=3 binary-output=4 binary-value=5 life-safety-point=21 life-safety-zone=22 load-control=28 access-door=30
binary-lighting-output=55
""",
    "boolean": """
calendar=6
""",
    "unsigned": """
command=7 multi-state-input=13 multi-state-output=14 multi-state-value=19 accumulator=23 timer=31
positive-integer-value=48
""",
    "none": """
device=8 event-enrollment=9 file=10 notification-class=15 program=16 averaging=18 trend-log=20 event-log=25
trend-log-multiple=27 structured-view=29 access-credential=32 access-point=33 access-rights=34 access-user=35
access-zone=36 network-security=38 notification-forwarder=51 network-port=56 elevator-group=57 escalator=58 lift=59
audit-log=61 audit-reporter=62
""",
    "other": """
group=11 schedule=17 global-group=26 credential-data-input=37 datetime-pattern-value=43 datetime-value=44 channel=53
""",
    "bit-string": """
bitstring-value=39
""",
    "character-string": """
characterstring-value=40
""",
    "date": """
date-pattern-value=41 date-value=42
""",
    "integer": """
integer-value=45
""",
    "double": """
large-analog-value=46
""",
    "octet-string": """
octetstring-value=47
""",
    "time": """
time-pattern-value=49 time-value=50
""",
    "object-identifier": """
alert-enrollment=52
""",
}
_PROPERTIES = {
    "bit-string": """
acked-transitions=0 ack-required=1 event-enable=35 limit-enable=52 protocol-object-types-supported=96
protocol-services-supported=97 status-flags=111 bit-mask=342 member-status-flags=347 auditable-operations=501
""",
    "other": """
action=2 alarm-values=7 change-of-state-time=16 controlled-variable-reference=19 effective-period=32 fault-values=39
list-of-object-property-references=54 manipulated-variable-reference=60 modification-date=71
object-property-reference=78 event-parameters=83 process-identifier=89 setpoint-reference=109
time-of-active-time-reset=114 time-of-state-count-reset=115 client-cov-increment=127 log-device-object-property=132
start-time=142 stop-time=143 maximum-value-timestamp=149 minimum-value-timestamp=150 last-restore-time=157
maintenance-required=158 member-of=159 tracking-value=164 schedule-default=174 adjust-value=176 count-change-time=179
input-reference=181 logging-record=184 prescale=185 scale=187 update-time=189 value-change-time=192
time-of-device-restart=203 actual-shed-level=212 expected-shed-level=214 requested-shed-level=218
access-event-authentication-factor=248 access-event-credential=249 access-event-time=250 accompaniment=252
activation-time=254 belongs-to=262 expiration-time=270 last-access-point=276 last-credential-added=277
last-credential-added-time=278 last-credential-removed=279 last-credential-removed-time=280 last-use-time=281
master-exemption=284 occupancy-exemption=293 passback-exemption=299 zone-from=320 zone-to=321 last-key-server=331
group-members=345 event-algorithm-inhibit-ref=355 fault-parameters=358 process-identifier-filter=361
lighting-command=380 interface-value=387 low-diff-limit=390 time-of-strike-count-reset=392
bacnet-ip-global-address=407 fd-bbmd-address=418 current-command-priority=431 last-command-time=432 value-source=433
energy-meter-ref=461 landing-call-control=471 deployed-profile-location=484 represents=491
audit-notification-recipient=499 audit-priority-filter=500
""",
    "array:character-string": """
action-text=3 state-text=110 subordinate-annotations=210 shed-level-descriptions=220 authentication-policy-names=259
bit-text=343 group-member-names=346 event-message-texts=351 event-message-texts-config=352 car-door-text=451
floor-text=464 stage-names=495
""",
    "character-string": """
active-text=4 application-software-version=12 description=28 description-of-halt=29 device-type=31 file-type=43
firmware-revision=44 inactive-text=46 instance-of=48 location=58 model-name=70 object-name=77 program-location=91
vendor-name=121 profile-name=168 node-subtype=207 state-description=222 user-external-identifier=310
user-information-reference=311 user-name=317 serial-number=372 network-interface-name=424 ipv6-zone-index=446
profile-location=485
""",
    "list": """
active-vt-sessions=5 date-list=23 device-address-binding=30 list-of-group-members=53 list-of-session-keys=55
recipient-list=102 time-synchronization-recipients=116 vt-classes-supported=122 log-buffer=131
active-cov-subscriptions=152 zone-members=165 life-safety-alarm-values=166 manual-slave-address-binding=170
slave-address-binding=171 accepted-modes=175 restart-notification-recipients=202
utc-time-synchronization-recipients=206 masked-alarm-values=234 access-alarm-events=245 access-transaction-events=251
credentials=265 credentials-in-zone=266 entry-points=268 exit-points=269 failed-attempt-events=272 members=286
reason-for-disable=303 supported-security-algorithms=336 covu-recipients=350 subscribed-recipients=362
authorization-exemptions=364 bbmd-broadcast-distribution-table=414 bbmd-foreign-device-table=415 routing-table=428
virtual-mac-address-table=429 fault-signals=463 landing-calls=470 active-cov-multiple-subscriptions=481
""",
    "enumerated": """
alarm-value=6 controlled-variable-units=20 derivative-constant-units=27 event-state=36 event-type=37
file-access-method=41 integral-constant-units=50 notify-type=72 object-type=79 output-units=82 polarity=84
program-change=90 program-state=92 proportional-constant-units=94 reason-for-halt=100 reliability=103
segmentation-supported=107 system-status=112 units=117 mode=160 operation-expected=161 silenced=163
last-restart-reason=196 logging-type=197 node-type=208 door-alarm-state=226 door-status=231 lock-status=233
secured-status=235 access-event=247 authentication-status=260 authorization-mode=261 credential-disable=263
credential-status=264 last-access-event=275 occupancy-state=296 passback-mode=300 user-type=318
base-device-security-policy=327 backup-and-restore-state=338 fault-type=359 write-status=370 in-progress=378
transition=385 last-state-change=395 timer-state=398 bacnet-ip-mode=408 command=417 network-number-quality=426
network-type=427 bacnet-ipv6-mode=435 car-assigned-direction=448 car-drive-status=453 car-load-units=455 car-mode=456
car-moving-direction=457 escalator-mode=462 group-mode=467 operation-direction=477 protocol-level=482
default-subordinate-relationship=490 audit-level=498
""",
    "boolean": """
all-writes-successful=9 archive=13 daylight-savings-status=24 in-process=47 issue-confirmed-notifications=51
out-of-service=81 read-only=99 enable=133 stop-when-full=144 auto-slave-discovery=169 slave-proxy-enable=172
align-intervals=193 trigger=205 extended-time-enable=271 lockout=282 muster-point=287 occupancy-count-adjust=291
occupancy-count-enable=292 occupancy-lower-limit-enforced=295 occupancy-upper-limit-enforced=298 trace-flag=308
do-not-hide=329 is-utc=344 event-detection-enable=353 event-algorithm-inhibit=354 reliability-evaluation-inhibit=357
local-forwarding-only=360 allow-group-delay-inhibit=365 blink-warn-enable=373 egress-active=386 timer-running=397
ip-dhcp-enable=402 bacnet-ip-nat-traversal=410 bbmd-accept-fd-registrations=413 changes-pending=416
link-speed-autonegotiate=422 ipv6-auto-addressing-enable=442 car-door-zone=452 passenger-alarm=478 power-mode=479
audit-source-reporter=497 delete-on-forward=502 send-now=505
""",
    "unsigned": """
apdu-segment-timeout=10 apdu-timeout=11 change-of-state-count=15 notification-class=17 elapsed-active-time=33
file-size=42 max-apdu-length-accepted=62 max-info-frames=63 max-master=64 minimum-off-time=66 minimum-on-time=67
number-of-apdu-retries=73 number-of-states=74 priority-for-writing=88 protocol-version=98 time-delay=113
update-interval=118 vendor-identifier=120 attempted-samples=124 buffer-size=126 cov-resubscription-interval=128
log-interval=134 notification-threshold=137 protocol-revision=139 records-since-notification=140 record-count=141
total-record-count=145 valid-samples=146 window-interval=147 window-samples=148 backup-failure-timeout=153
database-revision=155 setting=162 max-segments-accepted=167 last-notify-record=173 count=177 count-before-change=178
cov-period=180 limit-monitoring-interval=182 pulse-rate=186 value-before-change=190 value-set=191 interval-offset=195
time-synchronization-interval=204 duty-window=213 shed-duration=219 door-extended-pulse-time=227
door-open-too-long-time=229 door-pulse-time=230 door-unlock-delay-time=232 absentee-limit=244 accompaniment-time=253
active-authentication-policy=255 failed-attempts=273 failed-attempts-time=274 lockout-relinquish-time=283
max-failed-attempts=285 number-of-authentication-policies=289 occupancy-count=290 occupancy-lower-limit=294
occupancy-upper-limit=297 passback-timeout=301 threat-authority=306 threat-level=307
transaction-notification-class=309 access-event-tag=322 global-identifier=323 verification-time=326
distribution-key-revision=328 packet-reorder-time=333 security-pdu-timeout=334 security-time-window=335
update-key-set-timeout=337 backup-preparation-time=339 restore-completion-time=340 restore-preparation-time=341
requested-update-interval=348 covu-period=349 time-delay-normal=356 channel-number=366 last-priority=369
default-fade-time=374 egress-time=377 lighting-command-default-priority=381 strike-count=391 default-timeout=393
initial-timeout=394 apdu-length=399 ip-dhcp-lease-time=403 ip-dhcp-lease-time-remaining=404 bacnet-ip-udp-port=412
fd-subscription-lifetime=419 network-number=425 ipv6-prefix-length=437 bacnet-ipv6-udp-port=438
ipv6-dhcp-lease-time=443 ipv6-dhcp-lease-time-remaining=444 car-position=458 group-id=465 installation-id=469
next-stopping-floor=476 reference-port=483 present-stage=493 maximum-send-delay=503 floor-number=506
""",
    "real": """
bias=14 controlled-variable-value=21 derivative-constant=26 error-limit=34 integral-constant=49 maximum-output=61
minimum-output=68 proportional-constant=93 setpoint=108 average-value=125 maximum-value=135 minimum-value=136
variance-value=151 direct-reading=156 scale-factor=188 full-duty-baseline=215 default-ramp-rate=375
default-step-increment=376 instantaneous-power=379 max-actual-value=382 min-actual-value=383 power=384 link-speed=420
car-load=454 energy-meter=460 default-present-value=492
""",
    "present-value": """
cov-increment=22 deadband=25 feedback-value=40 high-limit=45 low-limit=59 max-pres-value=65 min-pres-value=69
present-value=85 relinquish-default=104 resolution=106 fault-high-limit=388 fault-low-limit=389
""",
    "array:other": """
exception-schedule=38 priority-array=87 weekly-schedule=123 event-time-stamps=130 subordinate-list=211
door-members=228 access-doors=246 assigned-access-rights=256 authentication-factors=257 authentication-policy-list=258
negative-access-rules=288 positive-access-rules=302 supported-formats=304 key-sets=330
network-access-security-policies=332 port-filter=363 state-change-values=396 command-time-array=430
value-source-array=434 assigned-landing-calls=447 landing-door-status=472 registered-car-call=480 tags=486
subordinate-tags=488 stages=494 target-references=496 monitored-objects=504
""",
    "date": """
local-date=56
""",
    "time": """
local-time=57
""",
    "object-identifier": """
object-identifier=75 logging-object=183 elevator-group=459 higher-deck=468 lower-deck=473 machine-room-id=474
""",
    "array:object-identifier": """
object-list=76 configuration-files=154 structured-object-list=209
""",
    "array:unsigned": """
priority=86 shed-levels=221 supported-format-classes=305 control-groups=367 execution-delay=368 making-car-call=475
""",
    "integer": """
utc-offset=119 days-remaining=267 uses-remaining=319
""",
    "array:enumerated": """
property-list=371 car-door-command=449 car-door-status=450 subordinate-node-types=487 subordinate-relationships=489
""",
    "octet-string": """
ip-address=400 ip-default-gateway=401 ip-dhcp-server=405 bacnet-ip-multicast-address=409 ip-subnet-mask=411
mac-address=423 ipv6-address=436 ipv6-default-gateway=439 bacnet-ipv6-multicast-address=440 ipv6-dhcp-server=445
device-uuid=507
""",
    "array:octet-string": """
ip-dns-server=406 ipv6-dns-server=441
""",
    "array:real": """
link-speeds=421
""",
}
_UNITS = """
square-meters=0 square-feet=1 milliamperes=2 amperes=3 ohms=4 volts=5 kilovolts=6 megavolts=7 volt-amperes=8
kilovolt-amperes=9 megavolt-amperes=10 volt-amperes-reactive=11 kilovolt-amperes-reactive=12
megavolt-amperes-reactive=13 degrees-phase=14 power-factor=15 joules=16 kilojoules=17 watt-hours=18 kilowatt-hours=19
btus=20 therms=21 ton-hours=22 joules-per-kilogram-dry-air=23 btus-per-pound-dry-air=24 cycles-per-hour=25
cycles-per-minute=26 hertz=27 grams-of-water-per-kilogram-dry-air=28 percent-relative-humidity=29 millimeters=30
meters=31 inches=32 feet=33 watts-per-square-foot=34 watts-per-square-meter=35 lumens=36 luxes=37 foot-candles=38
kilograms=39 pounds-mass=40 tons=41 kilograms-per-second=42 kilograms-per-minute=43 kilograms-per-hour=44
pounds-mass-per-minute=45 pounds-mass-per-hour=46 watts=47 kilowatts=48 megawatts=49 btus-per-hour=50 horsepower=51
tons-refrigeration=52 pascals=53 kilopascals=54 bars=55 pounds-force-per-square-inch=56 centimeters-of-water=57
inches-of-water=58 millimeters-of-mercury=59 centimeters-of-mercury=60 inches-of-mercury=61 degrees-celsius=62
degrees-kelvin=63 degrees-fahrenheit=64 degree-days-celsius=65 degree-days-fahrenheit=66 years=67 months=68 weeks=69
days=70 hours=71 minutes=72 seconds=73 meters-per-second=74 kilometers-per-hour=75 feet-per-second=76
feet-per-minute=77 miles-per-hour=78 cubic-feet=79 cubic-meters=80 imperial-gallons=81 liters=82 us-gallons=83
cubic-feet-per-minute=84 cubic-meters-per-second=85 imperial-gallons-per-minute=86 liters-per-second=87
liters-per-minute=88 us-gallons-per-minute=89 degrees-angular=90 degrees-celsius-per-hour=91
degrees-celsius-per-minute=92 degrees-fahrenheit-per-hour=93 degrees-fahrenheit-per-minute=94 no-units=95
parts-per-million=96 parts-per-billion=97 percent=98 percent-per-second=99 per-minute=100 per-second=101
psi-per-degree-fahrenheit=102 radians=103 revolutions-per-minute=104 currency1=105 currency2=106 currency3=107
currency4=108 currency5=109 currency6=110 currency7=111 currency8=112 currency9=113 currency10=114 square-inches=115
square-centimeters=116 btus-per-pound=117 centimeters=118 pounds-mass-per-second=119 delta-degrees-fahrenheit=120
delta-degrees-kelvin=121 kilohms=122 megohms=123 millivolts=124 kilojoules-per-kilogram=125 megajoules=126
joules-per-degree-kelvin=127 joules-per-kilogram-degree-kelvin=128 kilohertz=129 megahertz=130 per-hour=131
milliwatts=132 hectopascals=133 millibars=134 cubic-meters-per-hour=135 liters-per-hour=136
kilowatt-hours-per-square-meter=137 kilowatt-hours-per-square-foot=138 megajoules-per-square-meter=139
megajoules-per-square-foot=140 watts-per-square-meter-degree-kelvin=141 cubic-feet-per-second=142
percent-obscuration-per-foot=143 percent-obscuration-per-meter=144 milliohms=145 megawatt-hours=146 kilo-btus=147
mega-btus=148 kilojoules-per-kilogram-dry-air=149 megajoules-per-kilogram-dry-air=150 kilojoules-per-degree-kelvin=151
megajoules-per-degree-kelvin=152 newton=153 grams-per-second=154 grams-per-minute=155 tons-per-hour=156
kilo-btus-per-hour=157 hundredths-seconds=158 milliseconds=159 newton-meters=160 millimeters-per-second=161
millimeters-per-minute=162 meters-per-minute=163 meters-per-hour=164 cubic-meters-per-minute=165
meters-per-second-per-second=166 amperes-per-meter=167 amperes-per-square-meter=168 ampere-square-meters=169
farads=170 henrys=171 ohm-meters=172 siemens=173 siemens-per-meter=174 teslas=175 volts-per-degree-kelvin=176
volts-per-meter=177 webers=178 candelas=179 candelas-per-square-meter=180 degrees-kelvin-per-hour=181
degrees-kelvin-per-minute=182 joule-seconds=183 radians-per-second=184 square-meters-per-newton=185
kilograms-per-cubic-meter=186 newton-seconds=187 newtons-per-meter=188 watts-per-meter-per-degree-kelvin=189
micro-siemens=190 cubic-feet-per-hour=191 us-gallons-per-hour=192 kilometers=193 micrometers=194 grams=195
milligrams=196 milliliters=197 milliliters-per-second=198 decibels=199 decibels-millivolt=200 decibels-volt=201
millisiemens=202 watt-hours-reactive=203 kilowatt-hours-reactive=204 megawatt-hours-reactive=205
millimeters-of-water=206 per-mille=207 grams-per-gram=208 kilograms-per-kilogram=209 grams-per-kilogram=210
milligrams-per-gram=211 milligrams-per-kilogram=212 grams-per-milliliter=213 grams-per-liter=214
milligrams-per-liter=215 micrograms-per-liter=216 grams-per-cubic-meter=217 milligrams-per-cubic-meter=218
micrograms-per-cubic-meter=219 nanograms-per-cubic-meter=220 grams-per-cubic-centimeter=221 becquerels=222
kilobecquerels=223 megabecquerels=224 gray=225 milligray=226 microgray=227 sieverts=228 millisieverts=229
microsieverts=230 microsieverts-per-hour=231 decibels-a=232 nephelometric-turbidity-unit=233 p-h=234
grams-per-square-meter=235 minutes-per-degree-kelvin=236 ohm-meter-per-square-meter=237 ampere-seconds=238
volt-ampere-hours=239 kilovolt-ampere-hours=240 megavolt-ampere-hours=241 volt-ampere-hours-reactive=242
kilovolt-ampere-hours-reactive=243 megavolt-ampere-hours-reactive=244 volts-square-hours=245 ampere-square-hours=246
joules-per-hours=247 cubic-feet-per-day=248 cubic-meters-per-day=249 watt-hours-per-cubic-meter=250
joules-per-cubic-meter=251 pascal-seconds=253
"""
_RELIABILITIES = """
no-fault-detected=0 no-sensor=1 over-range=2 under-range=3 open-loop=4 shorted-loop=5 no-output=6 unreliable-other=7
process-error=8 multi-state-fault=9 configuration-error=10 communication-failure=12 member-fault=13
monitored-object-fault=14 tripped=15 lamp-failure=16 activation-failure=17 renew-dhcp-failure=18
renew-fd-registration-failure=19 restart-auto-negotiation-failure=20 restart-failure=21 proprietary-command-failure=22
faults-listed=23 referenced-object-fault=24 multi-state-out-of-range=25
"""


def _table(text: str) -> dict[str, int]:
    return {name: int(number) for name, _, number in (pair.partition("=") for pair in text.split())}


def _squeezed(name: str) -> str:
    """A name without what spellings differ in: ``analogInput``, ``analog-input`` and ``Analog Input`` are one."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _by_number(tables: Mapping[str, str]) -> dict[int, tuple[str, str]]:
    return {number: (name, kind) for kind, text in tables.items() for name, number in _table(text).items()}


OBJECT_TYPES = _by_number(_OBJECT_TYPES)
"""Object types by number: name, and datatype of the present value (``none``: it has none)."""
PROPERTIES = _by_number(_PROPERTIES)
"""Properties by number: name, and datatype; ``present-value`` is that of the object's present value."""
UNITS = {number: name for name, number in _table(_UNITS).items()}
"""Engineering units by number."""
RELIABILITIES = {number: name for name, number in _table(_RELIABILITIES).items()}
"""Reliabilities by number; 0 is none to speak of."""
_TYPE_NUMBERS = {_squeezed(name): number for number, (name, _) in OBJECT_TYPES.items()}
_PROPERTY_NUMBERS = {_squeezed(name): number for number, (name, _) in PROPERTIES.items()}
_UNSIGNED_STEPS = (22, 25)
"""COV increment and deadband: of an integer value they are unsigned (ASHRAE 135, 12.43)."""
MOST_TYPE, MOST_PROPERTY = 1023, 4_194_303


def object_type(text: str) -> int:
    """The object type of a name or number. Raises ValueError."""
    return _number(text, _TYPE_NUMBERS, MOST_TYPE, "object type", OBJECT_TYPES)


def property_of(text: str) -> int:
    """The property of a name or number. Raises ValueError."""
    return _number(text, _PROPERTY_NUMBERS, MOST_PROPERTY, "property", PROPERTIES)


def type_name(number: int) -> str:
    """The name of an object type, or its number."""
    return OBJECT_TYPES[number][0] if number in OBJECT_TYPES else str(number)


def property_name(number: int) -> str:
    """The name of a property, or its number."""
    return PROPERTIES[number][0] if number in PROPERTIES else str(number)


def datatype(object_type: int, number: int, element: bool) -> str:
    """The datatype of a property, or of an ``element`` of it; ``list``, ``array``, ``other``, or ``""`` if there is none.

    ``unknown`` is what only the manufacturer knows.
    """
    kind = PROPERTIES.get(number, ("", "unknown"))[1]
    if kind == "present-value":
        kind = OBJECT_TYPES.get(object_type, ("", "unknown"))[1]
        if kind == "integer" and number in _UNSIGNED_STEPS:
            kind = "unsigned"
    kind = "" if kind == "none" else kind
    if number == PRIORITY_ARRAY:
        kind = "array:" + datatype(object_type, PRESENT_VALUE, False)
    if kind.startswith("array:"):
        return kind.removeprefix("array:") if element else "array"
    return kind


def _number(text: str, numbers: Mapping[str, int], most: int, what: str, names: Mapping[int, tuple[str, str]]) -> int:
    text = text.strip()
    if text.isascii() and text.isdigit():
        if int(text) > most:
            raise ValueError(f"the greatest number of an {what} is {most}")
        return int(text)
    found = numbers.get(_squeezed(text))
    if found is None:
        near = difflib.get_close_matches(_squeezed(text), numbers, n=1)
        hint = f'; did you mean "{names[numbers[near[0]]][0]}"?' if near else ""
        raise ValueError(f"no {what} of the standard{hint}")
    return found
