"""Sentence kind → what it measures, as a table. Metric names end with their unit.

A sentence that its sender marks as void (status V, mode N) tells only that; its other values are not
believed. To know one more kind, add a row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from aiops_cli.ingest.nmea.reading import KNOTS, Collected, Measured, Position
from aiops_cli.ingest.nmea.sentence import Fields
from aiops_cli.ingest.parsed import Unreadable

Instrument = Callable[[Fields], Measured]

GPS, COMPASS, WIND, SOUNDER, LOG = "gps", "compass", "wind", "echosounder", "speedlog"
SBAS_IN_OEM = 9  # GGA quality of some makers for a satellite-corrected fix, elsewhere 2
DIFFERENTIAL = 2
NOT_BY_SATELLITE = {"N", "E", "M", "S"}  # none, estimated (dead reckoning), manual, simulator
_MODE_QUALITY = {"N": 0, "A": 1, "D": 2, "P": 3, "R": 4, "F": 5, "E": 6, "M": 7, "S": 8}


def position(fields: Fields) -> Position | None:
    """Raises Unreadable for what is no place on earth."""
    latitude, longitude = fields.number("lat"), fields.number("lon")
    if latitude is None or longitude is None:
        return None
    if abs(latitude) > 90 or abs(longitude) > 180:
        raise Unreadable(f"a position that is nowhere: {latitude:g}, {longitude:g}")
    return Position(latitude, longitude)


def _fix(fields: Fields, quality: float | None) -> Measured:
    gps = Collected(GPS)
    quality = DIFFERENTIAL if quality == SBAS_IN_OEM else quality
    gps.add("gps_fix_quality", quality)
    satellites = fields.number("numSV")
    if satellites or not quality:  # a fix of none is a converter that does not know how many
        gps.add("gps_satellites", satellites, "satellites")
    gps.add("hdop", fields.number("HDOP"))
    return gps.measured(position(fields) if quality else None)


def _gga(fields: Fields) -> Measured:
    return _fix(fields, fields.number("quality"))


def _gns(fields: Fields) -> Measured:
    """One letter for each satellite system; the best of them is the fix."""
    modes = [_MODE_QUALITY.get(letter, 0) for letter in fields.word("posMode")]
    real = [mode for mode in modes if mode < _MODE_QUALITY["E"]]
    return _fix(fields, max(real or modes, default=0) or max(modes, default=0))


def _valid(fields: Fields) -> bool:
    return fields.word("status") != "V" and fields.word("posMode") not in NOT_BY_SATELLITE


def _rmc(fields: Fields) -> Measured:
    gps, valid = Collected(GPS), _valid(fields)
    gps.add("gps_valid", float(valid))
    if not valid:
        return gps.measured()
    gps.add("speed_over_ground_knots", fields.number("spd"), "kn")
    gps.add("course_over_ground_deg", fields.number("cog"), "deg")
    return gps.measured(position(fields))


def _gll(fields: Fields) -> Measured:
    gps, valid = Collected(GPS), _valid(fields)
    gps.add("gps_valid", float(valid))
    return gps.measured(position(fields) if valid else None)


def _vtg(fields: Fields) -> Measured:
    gps = Collected(GPS)
    if fields.word("posMode") not in NOT_BY_SATELLITE:
        gps.add("speed_over_ground_knots", fields.number("sogn"), "kn")
        gps.add("course_over_ground_deg", fields.number("cogt"), "deg")
    return gps.measured()


def _gsa(fields: Fields) -> Measured:
    gps = Collected(GPS)
    gps.add("gps_fix_mode", fields.number("navMode"))  # 1 none, 2 flat, 3 with height
    gps.add("pdop", fields.number("PDOP"))
    return gps.measured()


def _gbs(fields: Fields) -> Measured:
    north, east = fields.number("errLat"), fields.number("errLon")
    gps = Collected(GPS)
    if north is not None and east is not None:
        gps.add("position_error_m", (north**2 + east**2) ** 0.5, "m")
    return gps.measured()


def _one(service: str, metric: str, name: str, unit: str) -> Instrument:
    def instrument(fields: Fields) -> Measured:
        found = Collected(service)
        found.add(metric, fields.number(name), unit)
        return found.measured()

    return instrument


def _ths(fields: Fields) -> Measured:
    compass = Collected(COMPASS)
    if fields.word("mi") != "V":
        compass.add("heading_true_deg", fields.number("headt"), "deg")
    return compass.measured()


def _rot(fields: Fields) -> Measured:
    compass = Collected(COMPASS)
    if fields.word("valid") != "V":
        compass.add("rate_of_turn_deg_per_min", fields.number("rot"), "deg/min")
    return compass.measured()


def _mwv(fields: Fields) -> Measured:
    wind = Collected(WIND)
    if fields.word("status") == "V":
        return wind.measured()
    seen = "true" if fields.word("reference") == "T" else "apparent"
    wind.add(f"wind_angle_{seen}_deg", fields.number("angle"), "deg")
    speed, factor = fields.number("speed"), KNOTS.get(fields.word("speedu"))
    if speed is not None and factor:
        wind.add(f"wind_speed_{seen}_knots", speed * factor, "kn")
    return wind.measured()


def _mwd(fields: Fields) -> Measured:
    wind = Collected(WIND)
    wind.add("wind_direction_true_deg", fields.number("dirT"), "deg")
    wind.add("wind_speed_true_knots", fields.number("speedN"), "kn")
    return wind.measured()


def _dpt(fields: Fields) -> Measured:
    """A negative offset is the distance from transducer to keel, a positive one to the water line."""
    sounder, depth = Collected(SOUNDER), fields.number("depth")
    offset = fields.number("offset")
    sounder.add("depth_below_transducer_m", depth, "m")
    if depth is not None and offset:
        below = "keel" if offset < 0 else "surface"
        sounder.add(f"depth_below_{below}_m", depth + offset, "m")
    return sounder.measured()


def _vhw(fields: Fields) -> Measured:
    """Its headings are those of the compass, which speaks for itself."""
    log = Collected(LOG)
    log.add("speed_through_water_knots", fields.number("spdN"), "kn")
    return log.measured()


def _rsa(fields: Fields) -> Measured:
    rudder = Collected("rudder")
    if fields.word("stbdstatus") != "V":
        rudder.add("rudder_angle_deg", fields.number("stbdangle"), "deg")
    return rudder.measured()


INSTRUMENTS: Mapping[str, Instrument] = {
    "GGA": _gga,
    "GNS": _gns,
    "RMC": _rmc,
    "GLL": _gll,
    "VTG": _vtg,
    "GSA": _gsa,
    "GBS": _gbs,
    "ZDA": lambda fields: Collected(GPS).measured(),  # only the time
    "HDT": _one(COMPASS, "heading_true_deg", "headingT", "deg"),
    "HDM": _one(COMPASS, "heading_magnetic_deg", "headingM", "deg"),
    "HDG": _one(COMPASS, "heading_magnetic_deg", "headingM", "deg"),
    "THS": _ths,
    "ROT": _rot,
    "MWV": _mwv,
    "MWD": _mwd,
    "DPT": _dpt,
    "DBT": _one(SOUNDER, "depth_below_transducer_m", "depthm", "m"),
    "DBS": _one(SOUNDER, "depth_below_surface_m", "metres", "m"),
    "DBK": _one(SOUNDER, "depth_below_keel_m", "metres", "m"),
    "MTW": _one(LOG, "water_temperature_celsius", "temp", "°C"),
    "VHW": _vhw,
    "RSA": _rsa,
}
