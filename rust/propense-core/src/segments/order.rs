//! An order in which every segment stands after those it reads.

/// The order, or the way round that there is none for: numbers, the first again at the end.
///
/// `reads` holds for each segment those it reads. Segments without a reason to stand elsewhere keep their order.
pub(super) fn order(reads: &[Vec<usize>]) -> Result<Vec<usize>, Vec<usize>> {
    #[derive(Clone, Copy, PartialEq)]
    enum Mark {
        New,
        Open,
        Done,
    }
    let mut marks = vec![Mark::New; reads.len()];
    let mut order = Vec::with_capacity(reads.len());
    for start in 0..reads.len() {
        if marks[start] != Mark::New {
            continue;
        }
        // The way from `start`: each segment, and how many of those it reads have been looked at.
        let mut path = vec![(start, 0)];
        marks[start] = Mark::Open;
        while let Some((segment, looked)) = path.last_mut() {
            let (current, next) = (*segment, reads[*segment].get(*looked).copied());
            *looked += 1;
            match next {
                None => {
                    marks[current] = Mark::Done;
                    order.push(current);
                    path.pop();
                }
                Some(next) => match marks[next] {
                    Mark::Done => {}
                    Mark::New => {
                        marks[next] = Mark::Open;
                        path.push((next, 0));
                    }
                    Mark::Open => {
                        let first = path.iter().position(|(segment, _)| *segment == next).unwrap_or(0);
                        return Err(path[first..].iter().map(|(segment, _)| *segment).chain([next]).collect());
                    }
                },
            }
        }
    }
    Ok(order)
}
