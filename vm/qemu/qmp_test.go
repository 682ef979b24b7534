package qemu

import (
	"bufio"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// TestMonitor talks to a QEMU that a guest has taken over, or that hangs.
func TestMonitor(t *testing.T) {
	const greeting = `{"QMP": {"version": {}, "capabilities": []}}` + "\n"
	for _, tc := range []struct{ name, says, want string }{
		{"answers", greeting + `{"return": {}}` + "\n" + `{"event": "STOP"}` + "\n" + `{"return": {"status": "running"}}` + "\n", ""},
		{"refuses", greeting + `{"return": {}}` + "\n" + `{"error": {"class": "GenericError", "desc": "not now"}}` + "\n", "query-status: not now"},
		{"garbage", "\x00\xffKATA\n", "qmp_capabilities: QEMU's answer: invalid character"},
		{"wrong types", greeting + `{"return": {}}` + "\n" + `{"return": [1]}` + "\n", "query-status: json: cannot unmarshal array"},
		{"cut", greeting + `{"ret`, "qmp_capabilities: QEMU's answer: unexpected EOF"},
		{"gone", greeting, "qmp_capabilities: QEMU's answer: EOF"},
		{"endless", strings.Repeat(`{"event": "FLOOD"}`+"\n", maxReply/19+2), "longer than 1048576 bytes"},
		{"endless word", `{"event": "` + strings.Repeat("x", maxReply), "longer than 1048576 bytes"},
		{"silent", "", "qmp_capabilities: no answer from QEMU within 100ms"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.name == "silent" {
				defer func(d time.Duration) { monitorTime = d }(monitorTime)
				monitorTime = 100 * time.Millisecond
			}
			m, end, err := newMonitor()
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			peer, err := net.FileConn(end)
			end.Close()
			if err != nil {
				t.Fatal(err)
			}
			defer peer.Close()
			go func() {
				r := bufio.NewReader(peer)
				if tc.says == "" {
					_, _ = io.Copy(io.Discard, r)
				}
				go func() { _, _ = io.Copy(io.Discard, r) }()
				_, _ = io.WriteString(peer, tc.says)
				_ = peer.(*net.UnixConn).CloseWrite()
			}()
			var st struct{ Status string }
			err = m.run("query-status", nil, &st)
			switch {
			case tc.want == "" && (err != nil || st.Status != "running"):
				t.Errorf("%+v, %v", st, err)
			case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
				t.Errorf("%v, want %q", err, tc.want)
			}
			if broken := tc.want != "" && tc.name != "refuses" && tc.name != "wrong types"; broken != (m.broken != nil) {
				t.Errorf("broken: %v; what comes later would be taken for another command's answer", m.broken)
			}
		})
	}
}
