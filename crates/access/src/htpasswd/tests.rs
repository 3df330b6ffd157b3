use std::io::Write;

use super::*;

fn line(user: &str, password: &str) -> String {
    format!("{user}:{}\n", bcrypt::hash(password, 4).unwrap())
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

async fn accepted(htpasswd: &Htpasswd, user: &str, password: &str) -> bool {
    htpasswd.verify(user, password.as_bytes().to_vec()).await.is_ok()
}

#[tokio::test]
async fn only_the_right_password_of_a_known_user_is_accepted() {
    let file = file(&format!("# staff\n\n{}{}", line("bob", "secret"), line("eve", "other")));
    let htpasswd = Htpasswd::new(file.path().to_owned()).unwrap();
    assert_eq!(&*htpasswd.verify("bob", b"secret".to_vec()).await.unwrap(), "bob");
    for (user, password) in
        [("bob", "other"), ("bob", ""), ("nobody", "secret"), ("", "secret"), ("Bob", "secret")]
    {
        assert!(!accepted(&htpasswd, user, password).await, "{user}:{password}");
    }
    assert_eq!(htpasswd.remembered().await, 1, "failures are not remembered");
}

#[tokio::test]
async fn the_decoy_is_a_hash_that_bcrypt_takes_its_time_for() {
    for cost in [4, 10] {
        assert_eq!(bcrypt_cost(&decoy(cost)), Some(cost));
        assert!(!bcrypt::verify("x", &decoy(4)).unwrap());
    }
}

#[tokio::test]
async fn a_changed_password_is_in_force_and_the_remembered_one_forgotten() {
    let file = file(&line("bob", "old"));
    let htpasswd = Htpasswd::new(file.path().to_owned()).unwrap();
    assert!(accepted(&htpasswd, "bob", "old").await);
    std::fs::write(file.path(), line("bob", "new")).unwrap();
    htpasswd.expire();
    assert!(!accepted(&htpasswd, "bob", "old").await);
    assert!(accepted(&htpasswd, "bob", "new").await);
}

#[tokio::test]
async fn a_file_replaced_by_rename_is_seen() {
    let dir = tempfile::tempdir().unwrap();
    let (path, next) = (dir.path().join("htpasswd"), dir.path().join("next"));
    std::fs::write(&path, line("bob", "pw")).unwrap();
    let htpasswd = Htpasswd::new(path.clone()).unwrap();
    std::fs::write(&next, line("eve", "pw")).unwrap();
    std::fs::rename(&next, &path).unwrap();
    htpasswd.expire();
    assert!(!accepted(&htpasswd, "bob", "pw").await);
    assert!(accepted(&htpasswd, "eve", "pw").await);
}

#[tokio::test]
async fn a_file_is_looked_at_once_a_second_at_most() {
    let file = file(&line("bob", "old"));
    let htpasswd = Htpasswd::new(file.path().to_owned()).unwrap();
    htpasswd.expire();
    assert!(accepted(&htpasswd, "bob", "old").await);
    std::fs::write(file.path(), line("eve", "new")).unwrap();
    assert!(accepted(&htpasswd, "bob", "old").await);
}

#[tokio::test]
async fn a_broken_or_missing_file_leaves_the_old_one_in_force() {
    let file = file(&line("bob", "pw"));
    let htpasswd = Htpasswd::new(file.path().to_owned()).unwrap();
    std::fs::write(file.path(), "no colon here\n").unwrap();
    htpasswd.expire();
    assert!(accepted(&htpasswd, "bob", "pw").await);
    let path = file.path().to_owned();
    file.close().unwrap();
    htpasswd.expire();
    assert!(accepted(&htpasswd, "bob", "pw").await);
    std::fs::write(&path, line("eve", "pw")).unwrap();
    htpasswd.expire();
    assert!(accepted(&htpasswd, "eve", "pw").await, "a repaired file is read");
    std::fs::remove_file(path).unwrap();
}

#[tokio::test]
async fn users_with_other_hashes_cannot_log_in_and_do_not_hinder_the_others() {
    let text =
        format!("md5:$apr1$x$y\nsha:{{SHA}}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\nplain:pw\n{}", line("bob", "pw"));
    let file = file(&text);
    let htpasswd = Htpasswd::new(file.path().to_owned()).unwrap();
    assert!(accepted(&htpasswd, "bob", "pw").await);
    assert!(!accepted(&htpasswd, "plain", "pw").await);
    assert!(!accepted(&htpasswd, "md5", "pw").await);
}

#[test]
fn a_missing_file_at_start_is_an_error_that_says_how_to_make_one() {
    let Err(error) = Htpasswd::new("/nonexistent/htpasswd".into()) else { panic!("accepted") };
    let text = error.to_string();
    assert!(text.contains("/nonexistent/htpasswd") && text.contains("htpasswd -Bc"), "{text}");
}

#[test]
fn a_broken_line_at_start_is_an_error_with_its_number() {
    let file = file(&format!("{}oops\n", line("bob", "pw")));
    let Err(error) = Htpasswd::new(file.path().to_owned()) else { panic!("accepted") };
    assert!(error.to_string().contains(":2: "), "{error}");
}
