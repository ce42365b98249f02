//! Chance that a seed decides.

/// A stream of numbers (splitmix64).
#[derive(Debug, Clone)]
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Self {
        // Neighbouring seeds must not have neighbouring streams.
        let mut chance = Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        chance.number();
        chance
    }

    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to less than `end`, which is more than 0.
    pub fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end.max(1)).unwrap_or(u64::MAX);
        usize::try_from(self.number() % end).unwrap_or_default()
    }

    /// From `least` to `most`, both included.
    pub fn between(&mut self, least: i64, most: i64) -> i64 {
        let span = most.abs_diff(least) + 1;
        least.saturating_add_unsigned(self.number() % span)
    }

    /// Whether something happens that happens so many times in ten thousand.
    pub fn hits(&mut self, times: u32) -> bool {
        times > 0 && self.number() % 10_000 < u64::from(times)
    }

    /// One of these; none of none.
    pub fn one<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        let at = self.below(of.len());
        of.get(at)
    }

    /// One of these, each as often as its weight says; the last where all weights are 0.
    pub fn weighed<T: Copy>(&mut self, of: &[(T, u32)]) -> Option<T> {
        let sum: usize = of.iter().map(|(_, weight)| usize::try_from(*weight).unwrap_or_default()).sum();
        let mut at = self.below(sum);
        for (one, weight) in of {
            let weight = usize::try_from(*weight).unwrap_or_default();
            if at < weight {
                return Some(*one);
            }
            at -= weight;
        }
        of.last().map(|(one, _)| *one)
    }

    pub fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.number().to_le_bytes()[..chunk.len()]);
        }
    }
}
