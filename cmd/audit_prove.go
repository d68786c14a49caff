package cmd

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/audit"
	"github.com/sluicehq/sluice/lineage"
)

// maxProof bounds what is read of a proof, a key or a checkpoint.
const maxProof = 2 << 20

func (a *app) auditProveCommand(addr, dir *string) *cobra.Command {
	var since, to string
	c := &cobra.Command{
		Use: "prove ID", Short: "make a file that proves one entry to anybody who has the public key", Args: oneArg,
		Long: `Write one file with an entry of the record, a proof that it is in the record, and the
signed checkpoint that the proof leads to. With --since-checkpoint it also proves that
the record has only grown since that checkpoint. sluice audit verify FILE checks it,
offline, as does scripts/verify_record.py.`,
		Example: "  sluice audit prove f2c9de3c-41 > proof.json\n  sluice audit verify proof.json --key log.vkey",
		RunE: func(c *cobra.Command, args []string) error {
			in := api.AuditProve{ID: args[0]}
			var err error
			if since != "" {
				if in.Since, err = readFile(since, maxProof); err != nil {
					return tell(exitUsage, "give a file with a signed checkpoint", "the checkpoint %s cannot be read: %s", since, reason(err))
				}
			}
			proof, err := a.prove(c.Context(), *addr, *dir, in)
			if err != nil {
				return err
			}
			data, err := json.MarshalIndent(proof, "", "  ")
			if err != nil {
				return err
			}
			data = append(data, '\n')
			if to != "" {
				return os.WriteFile(to, data, 0o600) // it has a statement in it
			}
			_, err = a.out.Write(data)
			return err
		},
	}
	c.Flags().StringVar(&since, "since-checkpoint", "", "file with an older signed checkpoint")
	c.Flags().StringVar(&to, "file", "", "write to this file, not to the output")
	return c
}

func (a *app) prove(ctx context.Context, addr, dir string, in api.AuditProve) (p *audit.Proof, err error) {
	if dir == "" {
		err = a.call(ctx, addr, http.MethodPost, api.AuditProvePath, in, &p)
		return p, err
	}
	var since []byte
	if in.Since != "" {
		since = []byte(in.Since)
	}
	p, err = audit.Prove(ctx, dir, in.ID, since)
	switch {
	case errors.Is(err, audit.ErrNotSealed):
		return nil, tell(exitError, "try again in a second, or once the gateway has been started", "no checkpoint covers the entry %s yet", in.ID)
	case errors.Is(err, fs.ErrNotExist) && audit.Check(dir) == nil:
		return nil, tell(exitError, "ids stand in the output of sluice audit query -o json", "there is no entry %q in the record", in.ID)
	case err != nil:
		return nil, tell(exitError, "check the whole record: sluice audit verify --record "+dir, "%s", reason(err))
	}
	return p, nil
}

func (a *app) auditVerifyCommand(addr, dir *string) *cobra.Command {
	var key string
	var witnesses []string
	var f format
	c := &cobra.Command{
		Use: "verify [FILE]", Short: "check that nothing in the record was changed, or check a proof of one entry", Args: atMostOne,
		Long: `Check every entry of the record against the signed checkpoints. A gateway checks
its own record; with --record you check a copy yourself, offline, with --key against a
key that you got in another way, and with --witness against checkpoints that were kept
elsewhere, which shows what was rolled back, cut off or rewritten.

With FILE a proof is checked that sluice audit prove or sluice lineage prove made, with
the public key alone.`,
		Example: "  sluice audit verify\n  sluice audit verify --record /var/lib/sluice/record --witness /mnt/elsewhere/checkpoints\n  sluice audit verify proof.json --key log.vkey",
		RunE: func(c *cobra.Command, args []string) error {
			if key != "" {
				text, err := readFile(key, maxProof)
				if err == nil {
					key = strings.TrimSpace(text)
				}
			}
			if len(args) == 1 {
				return a.verifyProof(f, args[0], key)
			}
			if (key != "" || len(witnesses) > 0) && *dir == "" {
				return usageError{errors.New("--key and --witness go with --record")}
			}
			var v api.VerifyResult
			if *dir == "" {
				if err := a.call(c.Context(), *addr, http.MethodPost, api.AuditVerifyPath, nil, &v); err != nil {
					return err
				}
				return a.printVerified(f, v)
			}
			var seen []audit.Witness // read first: a gateway at work may go on meanwhile
			for _, path := range witnesses {
				w, err := audit.ReadWitness(path)
				if err != nil {
					return tell(exitUsage, "give a file with signed checkpoints", "%s", reason(err))
				}
				seen = append(seen, w)
			}
			report, err := audit.Verify(c.Context(), *dir, key, seen...)
			if err != nil {
				return cmp.Or(hasRecord(*dir), err)
			}
			return a.printVerified(f, api.Verified(report))
		},
	}
	c.Flags().StringVar(&key, "key", "", "the public key that must have signed, or a file with it")
	c.Flags().StringArrayVar(&witnesses, "witness", nil, "file with checkpoints that were kept elsewhere; may be given again")
	addFormat(c, &f, "text", "json")
	return c
}

// verifyProof checks a proof of one entry.
func (a *app) verifyProof(f format, path, key string) error {
	if key == "" {
		return usageError{errors.New("--key is missing: the public key of the record, which must not come from whoever made the proof")}
	}
	text, err := readFile(path, lineage.MaxProofBytes)
	if err != nil {
		return tell(exitUsage, "give a file that sluice audit prove made", "the proof %s cannot be read: %s", path, reason(err))
	}
	if lineage.IsProof([]byte(text)) {
		return a.verifyLineage(f, path, text, key)
	}
	p, err := audit.VerifyProof([]byte(text), key)
	if err != nil {
		return tell(exitError, "do not believe it, and ask for the whole record", "%s proves nothing: %s", path, reason(err))
	}
	if f.name == "json" {
		return f.print(a.out, table{value: p})
	}
	fmt.Fprintf(a.out, "ok: entry %d is among the %d that %s signed, root %s\n", p.Event.Seq, p.Size, clean(p.Origin), p.Root)
	if p.Grown {
		fmt.Fprintf(a.out, "ok: the record has only grown since the checkpoint over %d entries\n", p.Since)
	}
	return eventsTable([]audit.Event{p.Event}).print(a.out)
}
