//! How a forest for one row is laid out: planes with about as many tests side by side.

use super::bins::Group;
use super::isa::RowInstructions;
use super::one_row::{LINE, MAX_COLUMNS, NOTHING, OneRow, Ranked, Sixteen, TEAM_LINES, TEAM_PLANES, Team, Tests};
use super::program::{Block, Entry, Program};

/// A column that no test reads.
const NO_COLUMN: u16 = MAX_COLUMNS as u16;

impl OneRow {
    /// The forest of a program; `None` if it has too many columns or the machine lacks the instructions.
    pub(super) fn of(program: &Program) -> Option<Self> {
        let instructions = RowInstructions::detect()?;
        let columns = program.bins.columns as usize;
        if columns > MAX_COLUMNS || program.planes > TEAM_PLANES {
            return None;
        }
        let mut one = Self {
            ranked: Vec::new(),
            bounds: Vec::new(),
            tests: Vec::new(),
            teams: Vec::new(),
            has_second: columns > 1 << u8::BITS,
            firsts: Vec::new(),
            instructions,
        };
        program.bins.groups.iter().for_each(|group| one.rank(group));
        let mut planes: Vec<&[Entry]> = Vec::new();
        for block in &program.blocks {
            if planes.len() + block.planes > TEAM_PLANES {
                one.add_team(&std::mem::take(&mut planes));
            }
            one.firsts.push(one.teams.len() * TEAM_PLANES + planes.len());
            planes.extend(block.planes_entries());
        }
        one.add_team(&planes);
        Some(one)
    }

    /// Adds the boundaries of a group, after a line of the last one of each of their lines.
    fn rank(&mut self, group: &Group) {
        let column = |column: Option<u32>| column.map_or(NO_COLUMN, |column| column as u16);
        self.ranked.push(Ranked {
            feature: group.feature,
            first: self.bounds.len(),
            missing_low: column(group.missing_low),
            missing_high: column(group.missing_high),
            most: (group.bounds.len() + 1) as u8,
        });
        let bound = |place: usize| group.bounds.get(place).copied().unwrap_or(i32::MAX);
        self.bounds.push(Sixteen(std::array::from_fn(|line| bound(16 * line + 15))));
        // A number at or above all boundaries looks into one line more.
        let lines = 0..=group.bounds.len() / 16;
        self.bounds.extend(lines.map(|line| Sixteen(std::array::from_fn(|place| bound(16 * line + place)))));
    }

    /// Adds planes with their entries; those of a line have about as many.
    fn add_team(&mut self, planes: &[&[Entry]]) {
        let mut sorted: Vec<usize> = (0..planes.len()).collect();
        sorted.sort_by_key(|&plane| planes[plane].len());
        let mut team = Team { rounds: [0; TEAM_LINES], places: [NOTHING; TEAM_LINES] };
        for (place, &plane) in sorted.iter().enumerate() {
            team.places[plane / LINE].0[plane % LINE] = place as u8;
        }
        for (line, rounds) in sorted.chunks(LINE).zip(&mut team.rounds) {
            *rounds = line.iter().map(|&plane| planes[plane].len()).max().unwrap_or(0);
            for round in 0..*rounds {
                let mut tests = Tests { columns: NOTHING, ranks: NOTHING, clears: NOTHING, second: 0, below: 0 };
                for (lane, &plane) in line.iter().enumerate() {
                    if let Some(entry) = planes[plane].get(round) {
                        tests.add(lane, entry);
                    }
                }
                self.tests.push(tests);
            }
        }
        self.teams.push(team);
    }
}

impl Tests {
    fn add(&mut self, lane: usize, entry: &Entry) {
        let [high, low] = [entry.if_high as u8, entry.if_low as u8];
        // An entry clears leaves on one of its sides.
        let is_below = low != u8::MAX;
        self.columns.0[lane] = entry.column as u8;
        self.ranks.0[lane] = entry.rank as u8;
        self.clears.0[lane] = !(high & low);
        self.second |= u64::from(entry.column >> u8::BITS > 0) << lane;
        self.below |= u64::from(is_below) << lane;
    }
}

impl Block {
    /// The entries of each plane.
    fn planes_entries(&self) -> Vec<&[Entry]> {
        let mut of_planes: Vec<&[Entry]> = vec![&[]; self.planes];
        let (mut entries, mut targets) = (self.entries.as_slice(), self.targets.iter());
        for run in &self.runs {
            for &plane in targets.by_ref().take(run.planes) {
                (of_planes[plane], entries) = entries.split_at(run.entries);
            }
        }
        of_planes
    }
}
