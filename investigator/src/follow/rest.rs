//! How long a whole order still takes: as long as the host that takes longest.

use protocol::messages::{Bound, HostState, Rest};

use super::HostView;

/// The rest over all hosts; none where no host can tell. Hosts that have not begun, or can't tell, make it the least.
pub(super) fn of_all(hosts: &[HostView]) -> Option<Rest> {
    let mut is_open = false;
    let mut known: Vec<Rest> = Vec::new();
    for host in hosts.iter().filter(|h| !h.is_settled()) {
        match (host.state, host.progress.as_ref().and_then(|p| p.rest)) {
            (HostState::Running, Some(rest)) => known.push(rest),
            _ => is_open = true,
        }
    }
    let longest = known.iter().copied().max_by_key(|rest| rest.seconds)?;
    if known.iter().all(|rest| rest.bound == Bound::AtMost) {
        // Of a host that has not begun the limit counts from when it does.
        return (!is_open).then_some(longest);
    }
    let is_certain = !is_open && known.iter().all(|rest| rest.bound == Bound::About);
    // The limit of another host may be far from what it takes.
    let known = known.iter().filter(|rest| rest.bound != Bound::AtMost);
    let seconds = known.map(|rest| rest.seconds).max()?;
    let bound = match is_certain {
        true => Bound::About,
        false => Bound::AtLeast,
    };
    Some(Rest { seconds, bound })
}

#[cfg(test)]
mod tests {
    use evidence::ids::AgentId;
    use protocol::messages::Progress;

    use super::*;

    fn host(state: HostState, rest: Option<(u64, Bound)>) -> HostView {
        HostView {
            agent: AgentId::from_bytes([1; 16]),
            hostname: "h".into(),
            state,
            collection: None,
            progress: Some(Progress {
                rest: rest.map(|(seconds, bound)| Rest { seconds, bound }),
                ..Progress::default()
            }),
            refusal: None,
            ended_early: None,
            parts_received: 0,
            captures: None,
        }
    }

    #[test]
    fn an_order_takes_as_long_as_its_slowest_host_and_says_what_it_does_not_know() {
        use HostState::{Delivered, Running, Waiting};
        let told = |hosts: &[HostView]| of_all(hosts).map(|r| (r.seconds, r.bound));
        let about = |seconds| host(Running, Some((seconds, Bound::About)));
        let most = || host(Running, Some((600, Bound::AtMost)));
        let done = || host(Delivered, Some((900, Bound::About)));
        assert_eq!(told(&[]), None);
        assert_eq!(told(&[done()]), None);
        assert_eq!(told(&[about(5), about(9), done()]), Some((9, Bound::About)));
        let waits = host(Waiting, None);
        assert_eq!(told(&[about(5), waits.clone()]), Some((5, Bound::AtLeast)));
        assert_eq!(told(&[about(5), most()]), Some((5, Bound::AtLeast)));
        assert_eq!(told(&[most()]), Some((600, Bound::AtMost)));
        assert_eq!(told(&[most(), waits]), None);
        assert_eq!(told(&[host(Running, None)]), None);
    }
}
