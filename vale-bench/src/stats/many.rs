//! Many questions at once: with twenty of them, one answer in twenty is wrong by chance alone.

/// Holm's adjusted p-values (1979): each may be held against the chance of even one wrong answer among them all.
/// Unlike Bonferroni's they need no more than that, and like them they assume nothing of how the questions depend on
/// each other.
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|&a, &b| p[a].total_cmp(&p[b]));
    let mut adjusted = vec![0.0; p.len()];
    let mut least: f64 = 0.0;
    for (rank, &index) in order.iter().enumerate() {
        least = least.max(p[index] * (p.len() - rank) as f64).min(1.0);
        adjusted[index] = least;
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn figures_r_gives() {
        // p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm")
        let adjusted = holm(&[0.01, 0.04, 0.03, 0.005]);
        let expected = [0.03, 0.06, 0.06, 0.02];
        assert!(adjusted.iter().zip(expected).all(|(a, e)| (a - e).abs() < 1e-12), "{adjusted:?}");
        assert_eq!(holm(&[]), [0.0; 0]);
    }

    /// Holm's procedure as he tells it: reject from the smallest on, until one is not small enough.
    fn rejected_step_by_step(p: &[f64], alpha: f64) -> Vec<bool> {
        let mut order: Vec<usize> = (0..p.len()).collect();
        order.sort_by(|&a, &b| p[a].total_cmp(&p[b]));
        let mut rejected = vec![false; p.len()];
        for (rank, &index) in order.iter().enumerate() {
            if p[index] * (p.len() - rank) as f64 > alpha {
                break;
            }
            rejected[index] = true;
        }
        rejected
    }

    proptest! {
        #[test]
        fn adjusted_values_reject_what_the_procedure_rejects(
            p in prop::collection::vec(0.0..1.0f64, 0..12), alpha in 0.001..0.5f64
        ) {
            let adjusted = holm(&p);
            let rejected: Vec<bool> = adjusted.iter().map(|&a| a <= alpha).collect();
            prop_assert_eq!(rejected, rejected_step_by_step(&p, alpha));
            prop_assert!(adjusted.iter().zip(&p).all(|(a, p)| a >= p && *a <= 1.0));
        }
    }
}
