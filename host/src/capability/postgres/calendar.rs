//! Dates and times as Postgres counts them: days and microseconds since the
//! beginning of the year 2000, UTC.

/// Days from 1970-01-01 to 2000-01-01.
const EPOCH_DAYS: i64 = 10_957;
const SECONDS_A_DAY: i64 = 86_400;
const MICROS_A_SECOND: i64 = 1_000_000;
const MICROS_A_DAY: i64 = SECONDS_A_DAY * MICROS_A_SECOND;
/// What Postgres can store, generously; it refuses the rest itself.
const YEARS: std::ops::RangeInclusive<i32> = -10_000..=6_000_000;

type Date = (i32, u8, u8);
type Time = (u8, u8, u8, u32);
type DateTime = (i32, u8, u8, u8, u8, u8, u32);

/// Days of the proleptic Gregorian calendar since 1970-01-01. Years begin in March
/// here, so that a leap day is the last day of one.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400;
    (if month <= 2 { year + 1 } else { year }, month, day)
}

fn days(date: Date) -> Result<i64, String> {
    let (year, month, day) = date;
    let days = days_from_civil(year.into(), month.into(), day.into());
    let exists = (1..=12).contains(&month)
        && YEARS.contains(&year)
        && civil_from_days(days) == (year.into(), month.into(), day.into());
    if exists { Ok(days - EPOCH_DAYS) } else { Err(format!("there is no date {year}-{month}-{day}")) }
}

pub(super) fn date_to_days(date: Date) -> Result<i32, String> {
    i32::try_from(days(date)?).map_err(|_| "the date is out of range".to_owned())
}

pub(super) fn time_to_micros((hour, minute, second, nanosecond): Time) -> Result<i64, String> {
    if hour > 23 || minute > 59 || second > 59 || nanosecond > 999_999_999 {
        return Err(format!("there is no time {hour}:{minute}:{second}.{nanosecond:09}"));
    }
    let seconds = (i64::from(hour) * 60 + i64::from(minute)) * 60 + i64::from(second);
    Ok(seconds * MICROS_A_SECOND + i64::from(nanosecond / 1_000))
}

pub(super) fn datetime_to_micros((year, month, day, hour, minute, second, nano): DateTime) -> Result<i64, String> {
    let time = time_to_micros((hour, minute, second, nano))?;
    days((year, month, day))?
        .checked_mul(MICROS_A_DAY)
        .and_then(|micros| micros.checked_add(time))
        .ok_or_else(|| "the time is out of range".to_owned())
}

/// Of seconds since 1970.
pub(super) fn unix_to_micros(seconds: i64) -> Result<i64, String> {
    seconds
        .checked_sub(EPOCH_DAYS * SECONDS_A_DAY)
        .and_then(|seconds| seconds.checked_mul(MICROS_A_SECOND))
        .ok_or_else(|| format!("the time {seconds} is out of range"))
}

pub(super) fn days_to_date(days: i32) -> Result<Date, String> {
    if matches!(days, i32::MIN | i32::MAX) {
        return Err("an infinite date cannot be expressed".to_owned());
    }
    date(i64::from(days))
}

fn date(days: i64) -> Result<Date, String> {
    let (year, month, day) = civil_from_days(days + EPOCH_DAYS);
    let (year, month, day) = (i32::try_from(year), u8::try_from(month), u8::try_from(day));
    match (year, month, day) {
        (Ok(year), Ok(month), Ok(day)) => Ok((year, month, day)),
        _ => Err("the date is out of range".to_owned()),
    }
}

pub(super) fn micros_to_time(micros: i64) -> Result<Time, String> {
    let (seconds, micros) = (micros.div_euclid(MICROS_A_SECOND), micros.rem_euclid(MICROS_A_SECOND));
    let part = |value: i64| u8::try_from(value).map_err(|_| "the time is out of range".to_owned());
    let nanosecond = u32::try_from(micros * 1_000).map_err(|_| "the time is out of range".to_owned())?;
    Ok((part(seconds / 3_600)?, part(seconds / 60 % 60)?, part(seconds % 60)?, nanosecond))
}

pub(super) fn micros_to_datetime(micros: i64) -> Result<DateTime, String> {
    if matches!(micros, i64::MIN | i64::MAX) {
        return Err("an infinite time cannot be expressed".to_owned());
    }
    let (year, month, day) = date(micros.div_euclid(MICROS_A_DAY))?;
    let (hour, minute, second, nano) = micros_to_time(micros.rem_euclid(MICROS_A_DAY))?;
    Ok((year, month, day, hour, minute, second, nano))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_days() {
        assert_eq!(date_to_days((2000, 1, 1)), Ok(0));
        assert_eq!(date_to_days((1999, 12, 31)), Ok(-1));
        assert_eq!(date_to_days((2024, 2, 29)), Ok(8_825));
        assert!(date_to_days((2023, 2, 29)).is_err());
        assert!(date_to_days((2023, 13, 1)).is_err());
        assert!(date_to_days((2023, 0, 1)).is_err());
        assert_eq!(unix_to_micros(946_684_800), Ok(0));
        assert_eq!(datetime_to_micros((2000, 1, 2, 0, 0, 1, 500_000)), Ok(86_401_000_500));
        assert!(micros_to_datetime(i64::MAX).is_err());
    }

    proptest! {
        #[test]
        fn every_day_comes_back(days in -2_400_000..2_000_000_i32) {
            prop_assert_eq!(date_to_days(days_to_date(days).unwrap()), Ok(days));
        }

        #[test]
        fn every_moment_comes_back(micros in -200_000_000_000_000_000..9_000_000_000_000_000_000_i64) {
            prop_assert_eq!(datetime_to_micros(micros_to_datetime(micros).unwrap()), Ok(micros));
        }
    }
}
