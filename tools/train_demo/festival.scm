;; What festival is told before it speaks. `say` writes n.wav, and n.txt with phones, word starts and
;; word ends, a line each.
;;
;; The British voices ask for the Oxford lexicon, which is not free for any purpose. They get CMU's
;; instead, in their own phones: an "r" that no vowel follows is not said, but changes the vowel.

(define (british word features)
  (lex.select "cmu")
  (let ((entry (lex.lookup word features)))
    (lex.select "oald")
    (list (car entry) (cadr entry)
          (mapcar (lambda (s) (list (british_phones (car s)) (cadr s))) (car (cddr entry))))))

(set! british_names
  '((aa o) (ae a) (ah uh) (ao oo) (aw au) (ax @) (ay ai) (eh e) (er @@) (ey ei) (hh h) (ih i)
    (iy ii) (ow ou) (oy oi) (uh u) (uw uu)))

(set! british_before_r
  '((aa aa) (ao oo) (aw au @) (ax @) (ay ai @) (eh e@) (ey e@) (ih i@) (iy i@) (ow oo) (oy oi @)
    (uh u@) (uw u@)))

(define (british_phones phones)
  (cond
    ((null? phones) nil)
    ((and (cdr phones) (string-equal (cadr phones) "r") (assoc (car phones) british_before_r))
     (append (cdr (assoc (car phones) british_before_r)) (british_phones (cddr phones))))
    (t
     (let ((named (assoc (car phones) british_names)))
       (cons (if named (cadr named) (car phones)) (british_phones (cdr phones)))))))

(define (setup_oald_lex)
  (setup_cmu_lex)
  (lex.create "oald")
  (lex.set.phoneset "mrpa")
  (lex.set.lts.method 'british)
  (lex.set.pos.map english_pos_map_wp39_to_wp20))

(define (numbers items feature)
  (mapcar (lambda (i) (format out " %s %f" (item.name i) (item.feat i feature))) items))

(define (at_pitch mean)
  (set! int_lr_params
    (list (list 'target_f0_mean mean) (list 'target_f0_std (* 0.13 mean))
          (list 'model_f0_mean 170) (list 'model_f0_std 34))))

(define (say n text stretch)
  (Parameter.set 'Duration_Stretch stretch)
  (set! utt (SynthText text))
  (utt.save.wave utt (format nil "%d.wav" n) 'riff)
  (set! out (fopen (format nil "%d.txt" n) "w"))
  (numbers (utt.relation.items utt 'Segment) "end")
  (format out "\n")
  (numbers (utt.relation.items utt 'Word) "word_start")
  (format out "\n")
  (numbers (utt.relation.items utt 'Word) "word_end")
  (fclose out))
