//! How fast one core scores rows with each engine: `cargo bench -p propense-core --bench forest`.
#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use propense_core::forest::{Aggregate, Ensemble, Explainer, Forest, Node, Test, Weight};

const FEATURES: usize = 200;
const ROWS: usize = 1_024;

/// Numbers from 0 to 1 that look random and are the same every time.
struct Random(u64);

impl Random {
    fn unit(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f32 / (1_u64 << 24) as f32
    }
}

/// Trees that split leaf after leaf, the largest first, as boosters do.
fn ensemble(trees: usize, leaves: usize) -> Ensemble {
    let mut random = Random(7);
    let mut ensemble = Ensemble {
        width: FEATURES,
        outputs: 1,
        aggregate: Aggregate::Sum,
        base_values: Vec::new(),
        roots: Vec::new(),
        nodes: Vec::new(),
        members: Vec::new(),
        weights: Vec::new(),
    };
    for _ in 0..trees {
        let root = ensemble.nodes.len() as u32;
        ensemble.roots.push(root);
        // A tree of n leaves has n - 1 branches, then the leaves; branch k has the children 2k + 1 and 2k + 2.
        for branch in 0..leaves as u32 - 1 {
            ensemble.nodes.push(Node::Branch {
                feature: (random.unit() * FEATURES as f32) as u32,
                test: Test::LessEqual((random.unit() * 64.0).floor() / 64.0),
                missing_goes_true: random.unit() < 0.5,
                if_true: root + 2 * branch + 1,
                if_false: root + 2 * branch + 2,
            });
        }
        for _ in 0..leaves {
            ensemble.nodes.push(Node::Leaf { first_weight: ensemble.weights.len() as u32, weight_count: 1 });
            ensemble.weights.push(Weight { output: 0, value: random.unit() - 0.5 });
        }
    }
    ensemble
}

fn forest(criterion: &mut Criterion) {
    let mut random = Random(11);
    let rows: Vec<f32> =
        (0..ROWS * FEATURES).map(|_| if random.unit() < 0.03 { f32::NAN } else { random.unit() }).collect();
    let mut scores = vec![0.0; ROWS];
    for (trees, leaves) in [(300, 31), (500, 64)] {
        let mut forest = Forest::compile(&ensemble(trees, leaves)).unwrap();
        let mut group = criterion.benchmark_group(format!("forest {trees} x {leaves}"));
        for engine in forest.engines() {
            assert!(forest.run_on(engine));
            for count in [1, ROWS] {
                group.throughput(Throughput::Elements(count as u64));
                group.bench_with_input(BenchmarkId::new(engine.to_string(), count), &count, |bencher, &count| {
                    bencher.iter(|| forest.score(black_box(&rows[..count * FEATURES]), &mut scores[..count]));
                });
            }
        }
        group.finish();
    }
}

/// What explaining costs beside scoring the same rows.
fn explanations(criterion: &mut Criterion) {
    let mut random = Random(11);
    let rows: Vec<f32> = (0..ROWS * FEATURES).map(|_| random.unit()).collect();
    let mut contributions = vec![0.0; rows.len()];
    for (trees, leaves) in [(600, 15), (300, 31), (500, 64)] {
        let ensemble = ensemble(trees, leaves);
        let mut covers = vec![100.0; ensemble.nodes.len()];
        for (node, branch) in ensemble.nodes.iter().enumerate().rev() {
            if let Node::Branch { if_true, if_false, .. } = *branch {
                covers[node] = covers[if_true as usize] + covers[if_false as usize];
            }
        }
        let (forest, explainer) =
            (Forest::compile(&ensemble).unwrap(), Explainer::compile(&ensemble, &covers).unwrap());
        let mut scores = vec![0.0; ROWS];
        let mut group = criterion.benchmark_group(format!("explanations {trees} x {leaves}"));
        for count in [1, ROWS] {
            group.throughput(Throughput::Elements(count as u64));
            group.bench_with_input(BenchmarkId::new("score", count), &count, |bencher, &count| {
                bencher.iter(|| forest.score(black_box(&rows[..count * FEATURES]), &mut scores[..count]));
            });
            group.bench_with_input(BenchmarkId::new("explain", count), &count, |bencher, &count| {
                let values = count * FEATURES;
                bencher.iter(|| explainer.explain(black_box(&rows[..values]), &mut contributions[..values]));
            });
        }
        group.finish();
        let mut of = [Vec::new(), Vec::new()];
        for _ in 0..9 {
            of[0].push(processor_s(32, || forest.score(black_box(&rows), &mut scores)));
            of[1].push(processor_s(4, || explainer.explain(black_box(&rows), &mut contributions)));
        }
        let [score, explain] = of.map(|mut seconds| {
            seconds.sort_by(f64::total_cmp);
            seconds[seconds.len() / 2] / ROWS as f64 * 1e6
        });
        println!(
            "explanations {trees} x {leaves}, processor time a row: score {score:.2} µs, explain {explain:.1} µs, {:.0} times",
            explain / score
        );
    }
}

/// Processor time of this thread for one run of some work; what else the machine does is not in it.
fn processor_s(runs: u32, mut work: impl FnMut()) -> f64 {
    let spent_ns = || -> Option<f64> {
        std::fs::read_to_string("/proc/thread-self/schedstat").ok()?.split(' ').next()?.parse().ok()
    };
    let before = spent_ns();
    (0..runs).for_each(|_| work());
    spent_ns().zip(before).map_or(f64::NAN, |(after, before)| (after - before) / 1e9 / f64::from(runs))
}

criterion_group!(benches, forest, explanations);
criterion_main!(benches);
