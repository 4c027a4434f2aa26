from datetime import date

import numpy as np
import polars as pl
import pytest

from airloom.errors import DataError
from airloom.sources.flights import COUNTRIES, Flights
from airloom.twin.writers.flights import write_flights

DAYS = np.arange(np.datetime64("2019-01-30"), np.datetime64("2019-02-02"))  # 30 and 31 January, 1 February
HEAD = "YEAR,MONTH_NUM,MONTH_MON,FLT_DATE,APT_ICAO,APT_NAME,STATE_NAME,FLT_DEP_1,FLT_ARR_1,FLT_TOT_1\n"
ROWS = (
    "2019,01,JAN,30-01-19,EDDF,Frankfurt,Germany,5,6,11\n"
    "2019,01,JAN,30-01-19,EDDM,Munich,Germany,3,3,6\n"
    "2019,01,JAN,30-01-19,LFPG,Paris-CDG,France,10,10,20\n"
    "2019,01,JAN,31-01-19,EDDF,Frankfurt,Germany,1,1,2\n"
    "2019,01,JAN,31-01-19,LFPG,Paris-CDG,France,2,2,4\n"
    "2019,02,FEB,01-02-19,EDDF,Frankfurt,Germany,4,4,8\n"
    "2019,02,FEB,01-02-19,LFPG,Paris-CDG,France,1,1,2\n"
    "2019,02,FEB,01-02-19,LATI,Tirana,Albania,100,100,200\n"
)


def table(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def both(*paths):
    return Flights(paths, countries=["Germany", "France"])


def test_airports_add_up_over_the_countries(tmp_path):
    # 11 + 6 + 20, 2 + 4, 8 + 2; Albania does not count
    found = both(table(tmp_path / "a.csv", HEAD + ROWS)).daily(DAYS)
    assert found.dims == ("time", "channel")
    assert found.values.ravel().tolist() == [37, 6, 10]
    assert found.attrs["units"] == "day-1"
    assert both(tmp_path / "a.csv").daily(DAYS[[2, 0]]).values.ravel().tolist() == [10, 37]


@pytest.mark.parametrize("form", ["%Y-%m-%d", "%d-%b-%Y", "%Y-%m-%dT00:00:00Z", "%Y-%m-%d 00:00:00"])
def test_dates_are_written_in_many_ways(tmp_path, form):
    text = ROWS
    for day in DAYS.astype(date):
        text = text.replace(day.strftime("%d-%m-%y"), day.strftime(form))
    assert both(table(tmp_path / "a.csv", HEAD + text)).daily(DAYS).values.ravel().tolist() == [37, 6, 10]


def test_tables_by_state(tmp_path):
    dashboard = "Entity,Week,Day,Flights\n" + "".join(f"{s},5,2019-01-30,{n}\n" for s, n in (("GERMANY", 7), ("France", 5)))
    assert both(table(tmp_path / "states.csv", dashboard)).daily(DAYS[:1]).values.item() == 12
    daio = "entry_date,country_name,flt_daio,flt_dai\n2019-01-30,Germany,100,70\n2019-01-30,France,90,50\n"
    assert both(table(tmp_path / "daio.csv", daio)).daily(DAYS[:1]).values.item() == 120
    with pytest.raises(DataError, match=r"are tables of different things \(Flights, flt_dai\)"):
        both(tmp_path / "states.csv", tmp_path / "daio.csv").daily(DAYS[:1])


def test_years_in_files_of_their_own_may_overlap_alike(tmp_path):
    one, two = table(tmp_path / "a.csv", HEAD + ROWS), table(tmp_path / "b.csv", HEAD + ROWS.split("\n", 3)[3])
    assert both(one, two).daily(DAYS).values.ravel().tolist() == [37, 6, 10]
    three = table(tmp_path / "c.csv", HEAD + "2019,01,JAN,31-01-19,EDDF,Frankfurt,Germany,1,2,3\n")
    with pytest.raises(DataError, match=r"tell of . and . flights on 2019-01-31 in EDDF, expected one number"):
        both(one, three).daily(DAYS)


def test_what_was_written_is_read(tmp_path):
    days = [d for d in DAYS.astype(date) for _ in COUNTRIES]
    rows = {
        "day": days,
        "airport": ["EBBR", "LFPG", "EDDF", "LIRF", "ELLX", "EHAM", "LEMD", "LSZH", "EGLL"] * 3,
        "name": ["somewhere"] * 27,
        "country": list(COUNTRIES) * 3,
        "flights": list(range(27)),
    }
    write_flights(pl.DataFrame(rows), tmp_path / "airport_traffic.csv")
    # 0 + … + 8 = 36, then 9 more for each of nine
    assert Flights([tmp_path / "airport_traffic.csv"]).daily(DAYS).values.ravel().tolist() == [36, 117, 198]
    first = (tmp_path / "airport_traffic.csv").read_text().splitlines()[1]
    assert first.startswith("2019,01,JAN,30-01-19,EBBR,somewhere,Belgium,0,0,0,")
    with pytest.raises(DataError, match="column 'flights' is String, expected Int64"):
        write_flights(pl.DataFrame(rows).with_columns(pl.col("flights").cast(pl.String)), tmp_path / "x.csv")


def test_bad_files_are_named(tmp_path):
    gap = "".join(row + "\n" for row in ROWS.splitlines() if "31-01-19,LFPG" not in row)
    with pytest.raises(DataError, match=r"a.csv: no flights on 2019-01-31 \(on 2019-01-31 of France\)"):
        both(table(tmp_path / "a.csv", HEAD + gap)).daily(DAYS)
    week = np.arange(np.datetime64("2019-02-01"), np.datetime64("2019-02-09"))
    with pytest.raises(DataError, match=r"2019-02-02, 2019-02-03, 2019-02-04, 2019-02-05, 2019-02-06 and 2 more"):
        both(table(tmp_path / "b.csv", HEAD + ROWS)).daily(week)
    with pytest.raises(DataError, match=r"b.csv hold no 'Germani'. nearest: 'germany'"):
        Flights([tmp_path / "b.csv"], countries=["Germani"]).daily(DAYS)
    with pytest.raises(DataError, match=r"has columns day, n; expected one of these sets: FLT_DATE, STATE_NAME, FLT_TOT_1"):
        both(table(tmp_path / "c.csv", "day,n\n1,2\n")).daily(DAYS)
    with pytest.raises(DataError, match=r"FLT_DATE: '30/Jan' and others are no dates"):
        both(table(tmp_path / "d.csv", HEAD + ROWS.replace("30-01-19", "30/Jan"))).daily(DAYS)
    with pytest.raises(DataError, match=r"FLT_TOT_1: 'eleven' is no number of flights"):
        both(table(tmp_path / "e.csv", HEAD + ROWS.replace(",11\n", ",eleven\n"))).daily(DAYS)
    with pytest.raises(DataError, match="is empty"):
        both(table(tmp_path / "f.csv", "")).daily(DAYS)
