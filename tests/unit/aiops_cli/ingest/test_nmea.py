"""Sentences of instruments → readings: what is measured, when, and what of it is not believed."""

from datetime import UTC, datetime, timedelta
from functools import reduce
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiops_cli.ingest.files import BlankLine, RefusedLine
from aiops_cli.ingest.formats import Format, reader_for
from aiops_cli.ingest.lines import AcceptedLine, LineOrigin, outcomes
from aiops_cli.ingest.nmea.instruments import INSTRUMENTS
from aiops_cli.ingest.nmea.reader import NmeaReader
from aiops_core.models import AnomalyDetected, MetricSample
from aiops_core.normaliser.parsed import Unreadable
from anomaly_detection.detection import Detection
from anomaly_detection.policy import DetectPolicy
from tests.conftest import ROOT

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
NMEA = ROOT.parent / "shared" / "data" / "nmea"
RMC = "GPRMC,120000.00,A,5222.3215,N,00454.5778,E,12.5,251.3,310526,,,A"


def signed(body: str, start: str = "$") -> str:
    return f"{start}{body}*{reduce(lambda a, b: a ^ b, body.encode(), 0):02X}"


def measured(*bodies: str, reader: NmeaReader | None = None) -> dict[str, float]:
    """Metric -> value, of the last sentence."""
    reader = reader or NmeaReader()
    for body in bodies:
        content = reader.read(signed(body), NOW)
    return {reading.metric: reading.value for reading in content.readings}


def gga(second: float, latitude: str = "5222.3215", quality: int = 1, satellites: int = 9) -> str:
    clock = f"12{int(second) // 60:02d}{second % 60:05.2f}"
    place = f"{latitude},N,00454.5778,E" if quality else ",,,"
    return f"GPGGA,{clock},{place},{quality},{satellites},0.9,16.0,M,47.0,M,,"


def become(folder: Path, *lines: str) -> list:
    path = folder / "bridge.log"
    path.write_text("\r\n".join(lines) + "\r\n")
    return list(outcomes(path, LineOrigin.of(path, "s1", "mux"), lambda: NOW))


def samples(folder: Path, *bodies: str) -> list[MetricSample]:
    return [e for o in become(folder, *map(signed, bodies)) for e in getattr(o, "entries", ())]


class TestSentences:
    @pytest.mark.parametrize(
        ("body", "metrics"),
        [
            (gga(0), {"gps_fix_quality": 1, "gps_satellites": 9, "hdop": 0.9}),
            (RMC, {"gps_valid": 1, "speed_over_ground_knots": 12.5}),
            ("HEHDT,274.1,T", {"heading_true_deg": 274.1}),
            ("HCHDG,182.1,00.0,E,00.0,E", {"heading_magnetic_deg": 182.1}),
            ("TIROT,-3.5,A", {"rate_of_turn_deg_per_min": -3.5}),
            ("WIMWV,327.6,R,10.0,M,A", {"wind_speed_apparent_knots": 19.438}),
            ("WIMWV,327.6,T,10.0,N,A", {"wind_angle_true_deg": 327.6}),
            ("SDDPT,12.3,-2.3,", {"depth_below_keel_m": 10.0}),
            ("SDDBT,040.4,f,12.3,M,06.7,F", {"depth_below_transducer_m": 12.3}),
            ("23DBS,01.9,f,0.58,M,00.3,F", {"depth_below_surface_m": 0.58}),
            ("VWVHW,,T,,M,6.1,N,11.3,K", {"speed_through_water_knots": 6.1}),
            ("AGRSA,-10.5,A,,", {"rudder_angle_deg": -10.5}),
            ("GNGNS,120000,5222.3,N,00454.5,E,AN,07,1.2,3.0,47.0,,", {"gps_fix_quality": 1}),
            ("GNGNS,120000,5222.3,N,00454.5,E,EN,00,9.9,3.0,47.0,,", {"gps_fix_quality": 6}),
        ],
    )
    def test_each_instrument_is_understood(self, body, metrics):
        found = measured(body)
        assert {name: found[name] for name in metrics} == pytest.approx(metrics, rel=1e-4)

    def test_a_position_is_in_degrees_south_and_west_negative(self):
        found = measured("GPGLL,3351.00,S,15112.00,W,120000,A,A")
        assert found["latitude_deg"] == pytest.approx(-33.85)
        assert found["longitude_deg"] == pytest.approx(-151.2)

    @pytest.mark.parametrize(
        ("body", "metrics"),
        [
            ("GPRMC,120000,V,5222.3,N,00454.5,E,0.1,,310526,,,N", {"gps_valid": 0}),
            ("GPRMC,120000,A,5222.3,N,00454.5,E,9.1,,310526,,,E", {"gps_valid": 0}),
            (gga(0, quality=0, satellites=2), {"gps_fix_quality": 0, "gps_satellites": 2}),
            ("WIMWV,327.6,R,10.0,M,V", {}),
            ("HETHS,77.5,V", {}),
        ],
    )
    def test_what_its_sender_calls_void_is_not_believed(self, body, metrics):
        assert {k: v for k, v in measured(body).items() if k != "hdop"} == metrics

    @pytest.mark.parametrize("body", ["PGRME,15.0,M,45.0,M,25.0,M", "GPXYZ,1,2", "GPGSV,1,1,00"])
    def test_what_measures_nothing_of_interest_is_no_mistake(self, body):
        assert measured(body) == {}

    @pytest.mark.parametrize(
        ("line", "why"),
        [
            ("$GPGLL,1,2*00", "wrong checksum: it says 00, its characters make"),
            ("$GPGLL,5222.32", "without a checksum"),
            ("hello", "not an NMEA sentence"),
            (signed("WIMWV,abc,R,1,N,A"), "MWV with a field that is none"),
            (signed("GPGLL,9922.32,N,00454.5,E,120000,A,A"), "nowhere: 99.372"),
            (signed("AIVDM,1,1,,A,,0", "!"), "AIS message that cannot be decoded"),
        ],
    )
    def test_what_is_damaged_is_refused_with_the_reason(self, line, why):
        with pytest.raises(Unreadable, match=why):
            NmeaReader().read(line, NOW)

    @given(
        st.sampled_from([f"GP{kind}" for kind in INSTRUMENTS] + ["AIVDM,1,1,,A", "AIVDO,1,1,,A"]),
        st.lists(st.text(st.characters(codec="ascii"), max_size=12), max_size=14),
    )
    def test_no_text_crashes_it(self, kind, rest):
        for line in (",".join(rest), signed(",".join([kind, *rest]), "!" if "VD" in kind else "$")):
            try:
                NmeaReader().read(line, NOW)
            except Unreadable as refused:
                assert str(refused)


class TestTimes:
    def test_a_sentence_happened_when_it_says(self, tmp_path):
        found = samples(tmp_path, RMC, gga(1), "HEHDT,274.1,T")
        times = {s.metric: s.ts for s in found}
        assert times["gps_valid"] == datetime(2026, 5, 31, 12, tzinfo=UTC)
        assert times["gps_fix_quality"] == datetime(2026, 5, 31, 12, 0, 1, tzinfo=UTC)
        assert times["heading_true_deg"] == times["gps_fix_quality"]

    def test_what_comes_before_the_first_date_has_that_date(self, tmp_path):
        first, *_ = samples(tmp_path, gga(0), "HEHDT,274.1,T", RMC)
        assert first.ts == datetime(2026, 5, 31, 12, tzinfo=UTC)

    def test_zda_tells_the_date_too_even_with_a_short_year(self):
        reader = NmeaReader()
        assert reader.read(signed("GPZDA,195719,16,04,14,-02,00"), NOW).ts == datetime(
            2014, 4, 16, 19, 57, 19, tzinfo=UTC
        )

    def test_at_midnight_the_day_ends_before_the_next_date_is_told(self):
        reader = NmeaReader()
        reader.read(signed(RMC.replace("120000.00", "235959.00")), NOW)
        after = reader.read(signed(gga(0).replace("120000.00", "000001.00")), NOW)
        late = reader.read(signed(gga(0).replace("120000.00", "235958.00")), NOW)
        assert after.ts == datetime(2026, 6, 1, 0, 0, 1, tzinfo=UTC)
        assert late.ts == datetime(2026, 5, 31, 23, 59, 58, tzinfo=UTC)

    def test_without_a_fix_a_date_is_not_believed(self):
        reader = NmeaReader()
        assert reader.read(signed("GPRMC,000013,V,,,,,,,060180,,,N"), NOW).ts is None

    def test_a_file_that_tells_no_time_happens_now_and_keeps_every_reading(self, tmp_path):
        found = samples(tmp_path, *["HEHDT,274.1,T"] * 5)
        assert [s.ts for s in found] == [NOW] * 5

    def test_live_it_happens_when_it_arrives(self):
        assert NmeaReader(live=True).read(signed(RMC), NOW).ts == NOW

    def test_a_tag_block_tells_source_and_time(self):
        line = "\\s:gps-bridge,c:1767225600*00\\" + signed(gga(0))
        content = NmeaReader().read(line, NOW)
        assert (content.instrument, content.ts) == ("gps-bridge", datetime(2026, 1, 1, tzinfo=UTC))

    def test_a_logger_may_put_the_time_before_the_sentence(self):
        line = "2026-05-31T08:00:00Z " + signed("HEHDT,274.1,T")
        assert NmeaReader().read(line, NOW).ts == datetime(2026, 5, 31, 8, tzinfo=UTC)

    def test_a_fast_sensor_is_read_once_a_second(self):
        reader = NmeaReader()
        sent = [
            len(
                reader.read(
                    f"2026-05-31T08:00:{n / 10:05.2f}Z {signed('HEHDT,1.0,T')}", NOW
                ).readings
            )
            for n in range(50)
        ]
        assert sum(sent) == 5


class TestSatellites:
    def test_a_converter_that_does_not_know_how_many_says_none_although_there_is_a_fix(self):
        assert "gps_satellites" not in measured(gga(0, satellites=0))
        assert measured(gga(0, quality=0, satellites=0))["gps_satellites"] == 0


class TestPosition:
    def test_a_ship_under_way_implies_its_speed(self):
        found = measured(RMC, gga(60, "5222.5215"))  # 0.2 nautical miles in a minute
        assert found["implied_speed_knots"] == pytest.approx(12, abs=0.1)

    def test_a_jump_implies_an_absurd_speed_once(self):
        reader = NmeaReader()
        measured(RMC, gga(1), reader=reader)
        assert measured(gga(2, "5232.3215"), reader=reader)["implied_speed_knots"] > 10_000
        assert measured(gga(3, "5232.3215"), reader=reader)["implied_speed_knots"] < 1

    def test_two_instruments_that_disagree_are_no_jump(self):
        reader = NmeaReader()
        measured(RMC, reader=reader)
        assert "implied_speed_knots" not in measured(
            "GLGLL,5232.32,N,00454.57,E,120001,A,A", reader=reader
        )


class TestAis:
    SHIP = "!AIVDM,1,1,,B,13aGua?P00PHfERNFruh0?vN289E,0*35"
    OTHER = "!AIVDM,1,1,,A,13aJG1wP?w<tSF0l4Q@>4?wv0`9F,0*29"
    PART = "!AIVDM,2,1,7,,53aL=FP000010=5J220PE8=DhE>2Q0ThuA>V220j1`6223?ns4j0DS2CQiC`88,0,2*75"

    def test_ships_in_sight_are_counted_each_once(self):
        reader = NmeaReader()
        counts = [
            reading.value
            for line in (self.SHIP, self.SHIP, self.OTHER, self.PART)
            for reading in reader.read(line, NOW).readings
        ]
        assert counts == [1, 1, 2]

    def test_a_ship_that_fell_silent_is_not_in_sight_any_more(self):
        reader = NmeaReader()
        reader.read(f"2026-05-31T08:00:00Z {self.SHIP}", NOW)
        [reading] = reader.read(f"2026-05-31T08:11:00Z {self.OTHER}", NOW).readings
        assert reading.value == 1


class TestFiles:
    def test_a_wrong_checksum_is_named_with_its_line_and_the_rest_is_sent(self, tmp_path):
        seen = become(tmp_path, signed(RMC), "$GPGLL,1,2*00", "", signed("PGRME,1,M,2,M,3,M"))
        assert [type(outcome) for outcome in seen] == [
            AcceptedLine,
            RefusedLine,
            BlankLine,
            BlankLine,
        ]
        assert str(seen[1]).startswith(f"{tmp_path / 'bridge.log'}:2: wrong checksum")

    def test_samples_say_whose_they_are(self, tmp_path):
        sample = samples(tmp_path, RMC)[0]
        assert (sample.ship_id, sample.host) == ("s1", "mux")
        assert (sample.device_id, sample.service) == ("gps-gp", "gps")
        assert sample.stages == {"ingest": NOW}

    def test_sentences_are_detected_among_the_formats(self):
        lines = [signed(RMC), TestAis.SHIP, "rubbish"]
        assert isinstance(reader_for("x.log", lines, NOW), NmeaReader)
        assert isinstance(reader_for("x.log", [], NOW, Format.NMEA), NmeaReader)
        assert not isinstance(reader_for("x.log", ["$HOME is /root", "!ok"], NOW), NmeaReader)

    @pytest.mark.skipif(not NMEA.is_dir(), reason="../shared/data/nmea is not there")
    @pytest.mark.parametrize(
        ("name", "readings"),
        [
            ("gofree-merrimac.log", 2974),
            ("gps.log", 13216),
            ("n2kd-183-merrimac.log", 688),
            ("nais400-merrimac.log", 183),
        ],
    )
    def test_recordings_of_real_boats(self, name, readings):
        path = NMEA / name
        seen = list(outcomes(path, LineOrigin.of(path, "s1", "mux"), lambda: NOW))
        assert not [o for o in seen if isinstance(o, RefusedLine)]
        found = [e for o in seen if isinstance(o, AcceptedLine) for e in o.entries]
        assert len(found) == readings
        implied = [e.value for e in found if e.metric == "implied_speed_knots"]
        assert max(implied, default=0) < 20  # the noise of a fix is no jump


async def told(folder: Path, *bodies: str) -> set[str]:
    """The rules that find something in what *bodies* measure."""
    detection = Detection(DetectPolicy.load(ROOT / "policies"))
    told = [m for s in samples(folder, *bodies) for m in detection.on_sample(s)]
    anomalies = [m for m in told if isinstance(m, AnomalyDetected)]
    assert {a.anomaly_type for a in anomalies} <= {"position_loss"}
    return {a.meta["rule"] for a in anomalies}


class TestAnomalies:
    async def test_a_voyage_with_a_good_fix_is_none(self, tmp_path):
        assert await told(tmp_path, RMC, *(gga(n) for n in range(60))) == set()

    async def test_a_lost_fix_is_found(self, tmp_path):
        lost = [gga(n, quality=0, satellites=0) for n in range(30, 60)]
        found = await told(tmp_path, RMC, *(gga(n) for n in range(30)), *lost)
        assert {"gps-no-fix", "gps-satellites"} <= found

    async def test_a_void_position_is_found(self, tmp_path):
        void = [f"GPGLL,,,,,12{n // 60:02d}{n % 60:02d},V,N" for n in range(60)]
        assert await told(tmp_path, RMC, *void) == {"gps-void"}

    async def test_dead_reckoning_is_found(self, tmp_path):
        assert await told(tmp_path, RMC, *(gga(n, quality=6) for n in range(60))) == {
            "gps-not-satellites"
        }

    async def test_a_jumping_position_is_found(self, tmp_path):
        jumped = [gga(n, "5232.3215") for n in range(30, 60)]
        found = await told(tmp_path, RMC, *(gga(n) for n in range(30)), *jumped)
        assert found == {"position-jump"}


class TestWeeksLost:
    """A receiver's date that is 1,024 weeks in the past, because the week number has ten bits."""

    def dated(self, at: datetime) -> str:
        return f"GPRMC,{at:%H%M%S}.00,A,5222.3215,N,00454.5778,E,12.5,251.3,{at:%d%m%y},,,A"

    def errors(self, found: list[MetricSample]) -> list[float]:
        return [one.value for one in found if one.metric == "gps_date_error_days"]

    @pytest.mark.parametrize("weeks", [1024, 2048])
    @pytest.mark.parametrize("hours", [0, 20])
    def test_a_file_of_now_is_corrected_and_says_so(self, tmp_path: Path, weeks: int, hours: int):
        true = NOW - timedelta(hours=hours)
        stated = true - timedelta(weeks=weeks)
        if stated.year < 2000:
            pytest.skip("two digits of a year say 20..")
        found = samples(tmp_path, "HEHDT,274.1,T", self.dated(stated))
        assert {one.ts for one in found} == {true}
        assert self.errors(found) == [weeks * 7]

    def test_an_old_file_is_simply_old(self, tmp_path: Path):
        found = samples(tmp_path, self.dated(NOW - timedelta(weeks=1000)))
        assert {one.ts for one in found} == {NOW - timedelta(weeks=1000)}
        assert self.errors(found) == []

    def test_a_logger_knows_better(self, tmp_path: Path):
        line = f"2026-05-30 10:00:00 {signed(self.dated(datetime(2006, 10, 14, 10, tzinfo=UTC)))}"
        [got] = become(tmp_path, line)
        assert self.errors(list(got.entries)) == [7168]
        assert {one.ts for one in got.entries} == {datetime(2026, 5, 30, 10, tzinfo=UTC)}

    def test_its_anomaly_is_a_clock_that_is_wrong(self):
        found = samples_of_policy("gps_date_error_days", [7168.0] * 10)
        assert [one.anomaly_type for one in found] == ["time_drift"]


def samples_of_policy(metric: str, values: list[float]) -> list[AnomalyDetected]:
    detection = Detection(DetectPolicy.load(ROOT / "policies"))
    fields = {"ship_id": "s1", "host": "gps-1", "service": "gps", "metric": metric}
    found = []
    for n, value in enumerate(values):
        at = NOW + timedelta(seconds=n)
        found += detection.on_sample(
            MetricSample(tracking_id=f"t{n}", ts=at, value=value, **fields)
        )
    return [one for one in found if isinstance(one, AnomalyDetected)]


class TestBridgeFiles:
    def test_recorded_datagrams_of_iec_61162_450(self, tmp_path: Path):
        path = tmp_path / "lwe.log"
        lines = [f"UdPbC\0\\s:HE0001,n:{n}*00\\{signed(f'HEHDT,274.{n},T')}" for n in (1, 2)]
        path.write_bytes("\r\n".join(lines).encode())
        found = outcomes(path, LineOrigin.of(path, "s1", "mux"), lambda: NOW)
        assert [e.value for one in found for e in one.entries] == [274.1, 274.2]

    def test_lines_that_end_with_cr_only(self, tmp_path: Path):
        path = tmp_path / "old.log"
        path.write_text("\r".join(signed(f"HEHDT,274.{n},T") for n in range(5)))
        found = list(outcomes(path, LineOrigin.of(path, "s1", "mux"), lambda: NOW))
        assert len(found) == 5
