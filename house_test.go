package kata_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// A pkg is what the rules need of `go list -json`.
type pkg struct {
	ImportPath, Name, Dir              string
	GoFiles, TestGoFiles, XTestGoFiles []string
	Imports, Deps                      []string
}

// within reports whether path is root or below it.
func within(path string, roots ...string) bool {
	return slices.ContainsFunc(roots, func(root string) bool {
		return path == root || strings.HasPrefix(path, root+"/")
	})
}

// files returns the parsed files of p: those of its tests if it has no others.
func (p pkg) files(t *testing.T, fset *token.FileSet) []*ast.File {
	t.Helper()
	names := p.GoFiles
	if len(names) == 0 {
		names = slices.Concat(p.TestGoFiles, p.XTestGoFiles)
	}
	var files []*ast.File
	for _, name := range names {
		f, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	return files
}

func packages(t *testing.T) []pkg {
	t.Helper()
	out := run(t, "go", "list", "-json=ImportPath,Name,Dir,GoFiles,TestGoFiles,XTestGoFiles,Imports,Deps", "./...")
	var all []pkg
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

func run(t *testing.T, name string, args ...string) []byte {
	t.Helper()
	var stderr bytes.Buffer
	cmd := exec.Command(name, args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, &stderr)
	}
	return out
}

func TestPackagesSayWhatTheyDoNotDo(t *testing.T) {
	limits := regexp.MustCompile(`(?i)\b(not|nothing|never)\b`)
	for _, p := range packages(t) {
		var docs []string
		for _, f := range p.files(t, token.NewFileSet()) {
			if f.Doc != nil && !ast.IsGenerated(f) {
				docs = append(docs, f.Doc.Text())
			}
		}
		switch {
		case len(docs) != 1:
			t.Errorf("%s has %d package comments; it needs one, in one place, for a reader to find it", p.ImportPath, len(docs))
		case !limits.MatchString(docs[0]):
			t.Errorf("%s: the package comment does not say what the package does NOT do; without that, a package grows until it does everything", p.ImportPath)
		}
	}
}

func TestCommandsAreThin(t *testing.T) {
	const limit = 150
	for _, p := range packages(t) {
		if !within(p.ImportPath, "kata/cmd") {
			continue
		}
		for _, name := range p.GoFiles {
			if n := lines(t, filepath.Join(p.Dir, name)); n > limit {
				t.Errorf("%s/%s has %d lines, the limit is %d: a command parses, calls and prints; what it decides belongs in a package that others can call and test", p.ImportPath, name, n, limit)
			}
		}
		for _, imp := range p.Imports {
			standard := !strings.Contains(strings.SplitN(imp, "/", 2)[0], ".")
			if !standard && !within(imp, "golang.org/x") {
				t.Errorf("%s imports %s: a command calls this tree's packages; what needs a library is not thin", p.ImportPath, imp)
			}
		}
	}
}

// drivers are the packages below vm/ that drive one VMM each; their last
// elements are the names that people write in a configuration.
var drivers = []string{"kata/vm/uml", "kata/vm/qemu"}

func TestOnlyVMKnowsItsDrivers(t *testing.T) {
	const why = "; only vm/ knows which drivers there are: let the driver declare a capability and ask for that"
	for _, p := range packages(t) {
		if within(p.ImportPath, "kata/vm") {
			continue
		}
		for _, imp := range p.Imports {
			if within(imp, drivers...) {
				t.Errorf("%s imports %s%s", p.ImportPath, imp, why)
			}
		}
		// config maps other projects' names to ours; packaging and tests choose a driver on purpose.
		if within(p.ImportPath, "kata/config", "kata/packaging", "kata/test") || len(p.GoFiles) == 0 {
			continue
		}
		fset := token.NewFileSet()
		for _, f := range p.files(t, fset) {
			ast.Inspect(f, func(n ast.Node) bool {
				if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
					if s, _ := strconv.Unquote(lit.Value); slices.Contains(drivers, "kata/vm/"+s) {
						t.Errorf("%s names the driver %q%s", fset.Position(lit.Pos()), s, why)
					}
				}
				return true
			})
		}
	}
}

func TestGuestCodeIsSmall(t *testing.T) {
	guest := []string{"kata/agent", "kata/cmd/kata-agent", "kata/channel"}
	host := []string{"kata/vm", "kata/jail", "kata/sandbox", "kata/oci", "kata/image", "kata/config", "kata/storage", "kata/network"}
	// ttrpc needs gRPC's status codes, which are small. The package without a
	// suffix is gRPC itself.
	heavy := []string{"go.opentelemetry.io", "github.com/prometheus", "net/http"}
	for _, p := range packages(t) {
		if !within(p.ImportPath, guest...) {
			continue
		}
		for _, dep := range p.Deps {
			if within(dep, host...) {
				t.Errorf("%s depends on %s: the guest is hostile ground, host code has no business there, and both can then change on their own", p.ImportPath, dep)
			}
			if within(dep, heavy...) || dep == "google.golang.org/grpc" {
				t.Errorf("%s depends on %s: the agent is in every machine's memory and start-up time, 10 MB are its budget", p.ImportPath, dep)
			}
		}
	}
}

func TestFilesAreSmall(t *testing.T) {
	const limit = 500
	for _, p := range packages(t) {
		for _, name := range slices.Concat(p.GoFiles, p.TestGoFiles, p.XTestGoFiles) {
			path := filepath.Join(p.Dir, name)
			f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.PackageClauseOnly|parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			if n := lines(t, path); n > limit && !ast.IsGenerated(f) {
				t.Errorf("%s/%s has %d lines, the limit is %d: one file, one idea; split it", p.ImportPath, name, n, limit)
			}
		}
	}
}

func TestTreeBelongsToNoMachine(t *testing.T) {
	// Written in halves, so that this file keeps the rule too.
	forbidden := map[string]string{
		"/wo" + "rk/":               "is a path of the machine it was written on",
		"/ro" + "ot/":               "is a path of the machine it was written on",
		"deb." + "debian.org":       "is a mirror; take the one the machine is configured for",
		"security." + "debian.org":  "is a mirror; take the one the machine is configured for",
		"proxy." + "golang.org":     "is a proxy; Go's own configuration says which to use",
		"registry-1." + "docker.io": "is a registry; the image's name says which to use",
		"BEGIN " + "PRIVATE KEY":    "is a secret",
	}
	// What git would commit: tracked, or new and not ignored.
	list := run(t, "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	for name := range strings.SplitSeq(strings.Trim(string(list), "\x00"), "\x00") {
		data, err := os.ReadFile(name)
		if errors.Is(err, os.ErrNotExist) {
			continue // deleted, and not yet committed
		} else if err != nil {
			t.Fatal(err)
		}
		for text, why := range forbidden {
			if bytes.Contains(data, []byte(text)) {
				t.Errorf("%s contains %q, which %s", name, text, why)
			}
		}
	}
}

func TestModuleIsPinned(t *testing.T) {
	var mod struct{ Replace []any }
	if err := json.Unmarshal(run(t, "go", "mod", "edit", "-json"), &mod); err != nil {
		t.Fatal(err)
	}
	if len(mod.Replace) > 0 {
		t.Errorf("go.mod replaces %d modules: whoever builds or imports this gets other code than we tested", len(mod.Replace))
	}
	run(t, "go", "mod", "verify")
}

func TestLicence(t *testing.T) {
	text, err := os.ReadFile("LICENSE")
	if err != nil {
		t.Fatalf("%v: without a licence nobody may use this", err)
	}
	for _, part := range []string{"Apache License", "Version 2.0, January 2004", "END OF TERMS AND CONDITIONS"} {
		if !bytes.Contains(text, []byte(part)) {
			t.Errorf("LICENSE lacks %q: it must be the whole text of Apache-2.0, so that tools recognize it", part)
		}
	}
}

func lines(t *testing.T, path string) int {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Count(data, []byte("\n"))
}
