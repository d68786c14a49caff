package audit

import "time"

// OlderThan gives an entry of the record in dir before which all are older than a time, as
// far as can be told without reading them.
func OlderThan(dir string, at time.Time) (uint64, error) {
	bases, _, err := listSegments(dir)
	if err != nil {
		return 0, err
	}
	for i := len(bases) - 2; i >= 0; i-- { // the last one is never passed over
		last, err := lastTime(dir, bases[i])
		if err != nil {
			return 0, err
		}
		if last.Before(at.Add(-timeSlack)) {
			return bases[i] + segmentEntries, nil
		}
	}
	return 0, nil
}
