//! Which rows are whose, newest first: some rows of a user lie side by side, so that few steps lead to all of them.

/// No row, and no block before.
const NONE: u32 = u32::MAX;
/// A block takes half a line of a processor's cache.
const ROWS: usize = 7;

/// The rows of users, each newer than all before.
#[derive(Debug, Default)]
pub(crate) struct Chains {
    /// By user: the newest block.
    heads: Vec<u32>,
    blocks: Vec<Block>,
}

/// Some rows of one user, newest last; what is left after them is [`NONE`].
#[derive(Debug)]
struct Block {
    rows: [u32; ROWS],
    previous: u32,
}

impl Block {
    fn len(&self) -> usize {
        self.rows.iter().position(|&row| row == NONE).unwrap_or(ROWS)
    }
}

impl Chains {
    /// Adds a user without a row.
    pub(crate) fn push_user(&mut self) {
        self.heads.push(NONE);
    }

    /// Appends a row to a user's.
    pub(crate) fn push(&mut self, user: u32, row: u32) {
        let head = &mut self.heads[user as usize];
        if *head != NONE {
            let block = &mut self.blocks[*head as usize];
            let rows = block.len();
            if rows < ROWS {
                block.rows[rows] = row;
                return;
            }
        }
        let mut rows = [NONE; ROWS];
        rows[0] = row;
        let previous = std::mem::replace(head, self.blocks.len() as u32);
        self.blocks.push(Block { rows, previous });
    }

    /// A user's rows below a limit, newest first.
    pub(crate) fn rows(&self, user: u32, limit: u32) -> impl Iterator<Item = u32> {
        let mut next = self.heads[user as usize];
        let blocks = std::iter::from_fn(move || {
            let block = self.blocks.get(next as usize)?;
            next = block.previous;
            Some(block)
        });
        // What is left free, in the newest block only, is above any limit.
        blocks.flat_map(|block| block.rows.iter().rev().copied()).skip_while(move |&row| row >= limit)
    }

    /// Forgets the rows from one on, and the users after so many.
    pub(crate) fn shorten(&mut self, users: usize, first_row: u32) {
        self.heads.truncate(users);
        for head in &mut self.heads {
            while let Some(block) = self.blocks.get_mut(*head as usize) {
                for row in &mut block.rows {
                    if *row >= first_row {
                        *row = NONE;
                    }
                }
                if block.len() > 0 {
                    break;
                }
                *head = block.previous;
            }
        }
        // A block is as old as its first row.
        while self.blocks.last().is_some_and(|block| block.rows[0] >= first_row) {
            self.blocks.pop();
        }
    }

    /// Memory in use, in bytes.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.heads.capacity() * size_of::<u32>() + self.blocks.len() * size_of::<Block>()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Step {
        Push(u32),
        Mark,
        Shorten,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![20 => (0_u32..6).prop_map(Step::Push), 1 => Just(Step::Mark), 1 => Just(Step::Shorten)]
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn rows_are_those_of_a_plain_list(steps in prop::collection::vec(step(), 0..300), limits in prop::collection::vec(0_u32..300, 4)) {
            let (mut chains, mut plain): (Chains, Vec<u32>) = Default::default();
            let (mut users, mut mark) = (0, (0, 0));
            for step in steps {
                match step {
                    Step::Push(user) => {
                        // Users come in order of their numbers.
                        let user = user.min(users);
                        if user == users {
                            chains.push_user();
                            users += 1;
                        }
                        chains.push(user, plain.len() as u32);
                        plain.push(user);
                    }
                    Step::Mark => mark = (users, plain.len()),
                    Step::Shorten => {
                        chains.shorten(mark.0 as usize, mark.1 as u32);
                        users = mark.0;
                        plain.truncate(mark.1);
                    }
                }
            }
            for user in 0..users {
                for limit in limits.iter().copied().chain([u32::MAX]) {
                    let rows = plain.iter().enumerate().filter(|&(row, &of)| of == user && (row as u32) < limit);
                    let expected: Vec<u32> = rows.map(|(row, _)| row as u32).rev().collect();
                    prop_assert_eq!(chains.rows(user, limit).collect::<Vec<_>>(), expected, "of {} below {}", user, limit);
                }
            }
        }
    }
}
