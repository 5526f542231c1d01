"""Sentence kind → what it measures, as a table. Metric names end with their unit.

A sentence that its sender marks as void (status V, mode N) yields only that; its other values are
not used. A new kind of sentence is one more row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from aiops_cli.ingest.nmea.measured import GeoPosition, Measured
from aiops_cli.ingest.nmea.sentence import Fields
from aiops_core.normaliser.parsed import Unreadable

Instrument = Callable[[Fields], Measured]

GPS, COMPASS, WIND, SOUNDER, LOG = "gps", "compass", "wind", "echosounder", "speedlog"
KNOTS = {"N": 1.0, "K": 1 / 1.852, "M": 3600 / 1852, "S": 1.150779**-1}  # from N, km/h, m/s, mph
SBAS_IN_OEM = 9  # GGA quality of some makers for a satellite-corrected fix, elsewhere 2
DIFFERENTIAL = 2
NOT_BY_SATELLITE = {"N", "E", "M", "S"}  # none, estimated (dead reckoning), manual, simulator
_MODE_QUALITY = {"N": 0, "A": 1, "D": 2, "P": 3, "R": 4, "F": 5, "E": 6, "M": 7, "S": 8}


def _position(fields: Fields) -> GeoPosition | None:
    """Raises Unreadable for a place that is not on earth."""
    latitude, longitude = fields.number("lat"), fields.number("lon")
    if latitude is None or longitude is None:
        return None
    if abs(latitude) > 90 or abs(longitude) > 180:
        raise Unreadable(f"a position that is nowhere: {latitude:g}, {longitude:g}")
    return GeoPosition(latitude, longitude)


def _fix(fields: Fields, quality: float | None) -> Measured:
    quality = DIFFERENTIAL if quality == SBAS_IN_OEM else quality
    gps = Measured(GPS).add("gps_fix_quality", quality)
    satellites = fields.number("numSV")
    if satellites or not quality:  # a fix with 0 satellites: a converter that does not know them
        gps.add("gps_satellites", satellites, "satellites")
    gps.add("hdop", fields.number("HDOP"))
    return gps.at(_position(fields)) if quality else gps


def _gga(fields: Fields) -> Measured:
    return _fix(fields, fields.number("quality"))


def _gns(fields: Fields) -> Measured:
    """One letter for each satellite system; the best of them is the fix."""
    modes = [_MODE_QUALITY.get(mode, 0) for mode in fields.word("posMode")]
    real = [mode for mode in modes if mode < _MODE_QUALITY["E"]]
    return _fix(fields, max(real or modes, default=0) or max(modes, default=0))


def _is_valid(fields: Fields) -> bool:
    return fields.word("status") != "V" and fields.word("posMode") not in NOT_BY_SATELLITE


def _rmc(fields: Fields) -> Measured:
    gps = Measured(GPS).add("gps_valid", float(_is_valid(fields)))
    if not _is_valid(fields):
        return gps
    gps.add("speed_over_ground_knots", fields.number("spd"), "kn")
    gps.add("course_over_ground_deg", fields.number("cog"), "deg")
    return gps.at(_position(fields))


def _gll(fields: Fields) -> Measured:
    gps = Measured(GPS).add("gps_valid", float(_is_valid(fields)))
    return gps.at(_position(fields)) if _is_valid(fields) else gps


def _vtg(fields: Fields) -> Measured:
    gps = Measured(GPS)
    if fields.word("posMode") not in NOT_BY_SATELLITE:
        gps.add("speed_over_ground_knots", fields.number("sogn"), "kn")
        gps.add("course_over_ground_deg", fields.number("cogt"), "deg")
    return gps


def _gsa(fields: Fields) -> Measured:
    gps = Measured(GPS).add("gps_fix_mode", fields.number("navMode"))  # 1 none, 2 flat, 3 height
    return gps.add("pdop", fields.number("PDOP"))


def _gbs(fields: Fields) -> Measured:
    north, east = fields.number("errLat"), fields.number("errLon")
    gps = Measured(GPS)
    if north is not None and east is not None:
        gps.add("position_error_m", (north**2 + east**2) ** 0.5, "m")
    return gps


def _one(service: str, metric: str, name: str, unit: str, status: str = "") -> Instrument:
    """One value; it is void when the field *status* says V."""

    def instrument(fields: Fields) -> Measured:
        value = None if fields.word(status) == "V" else fields.number(name)
        return Measured(service).add(metric, value, unit)

    return instrument


def _mwv(fields: Fields) -> Measured:
    wind = Measured(WIND)
    if fields.word("status") == "V":
        return wind
    seen = "true" if fields.word("reference") == "T" else "apparent"
    wind.add(f"wind_angle_{seen}_deg", fields.number("angle"), "deg")
    speed, factor = fields.number("speed"), KNOTS.get(fields.word("speedu"))
    if speed is not None and factor:
        wind.add(f"wind_speed_{seen}_knots", speed * factor, "kn")
    return wind


def _mwd(fields: Fields) -> Measured:
    wind = Measured(WIND).add("wind_direction_true_deg", fields.number("dirT"), "deg")
    return wind.add("wind_speed_true_knots", fields.number("speedN"), "kn")


def _dpt(fields: Fields) -> Measured:
    """A negative offset is the distance from transducer to keel, a positive one to the surface."""
    depth, offset = fields.number("depth"), fields.number("offset")
    sounder = Measured(SOUNDER).add("depth_below_transducer_m", depth, "m")
    if depth is not None and offset:
        below = "keel" if offset < 0 else "surface"
        sounder.add(f"depth_below_{below}_m", depth + offset, "m")
    return sounder


INSTRUMENTS: Mapping[str, Instrument] = {
    "GGA": _gga,
    "GNS": _gns,
    "RMC": _rmc,
    "GLL": _gll,
    "VTG": _vtg,
    "GSA": _gsa,
    "GBS": _gbs,
    "ZDA": lambda fields: Measured(GPS),  # only the time
    "HDT": _one(COMPASS, "heading_true_deg", "headingT", "deg"),
    "HDM": _one(COMPASS, "heading_magnetic_deg", "headingM", "deg"),
    "HDG": _one(COMPASS, "heading_magnetic_deg", "headingM", "deg"),
    "THS": _one(COMPASS, "heading_true_deg", "headt", "deg", "mi"),
    "ROT": _one(COMPASS, "rate_of_turn_deg_per_min", "rot", "deg/min", "valid"),
    "MWV": _mwv,
    "MWD": _mwd,
    "DPT": _dpt,
    "DBT": _one(SOUNDER, "depth_below_transducer_m", "depthm", "m"),
    "DBS": _one(SOUNDER, "depth_below_surface_m", "metres", "m"),
    "DBK": _one(SOUNDER, "depth_below_keel_m", "metres", "m"),
    "MTW": _one(LOG, "water_temperature_celsius", "temp", "°C"),
    "VHW": _one(LOG, "speed_through_water_knots", "spdN", "kn"),  # its headings are the compass'
    "RSA": _one("rudder", "rudder_angle_deg", "stbdangle", "deg", "stbdstatus"),
}
