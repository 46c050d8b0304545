# A formula for Homebrew. Not published: there is no release to take the source from.
# `brew update-python-resources git-coderepo` fills in the resources, after url and sha256 are set.
class GitCoderepo < Formula
  include Language::Python::Virtualenv

  desc "Know which code made a run, and get exactly that code back on any machine"
  # TODO at the first release: homepage, the address of the sdist on PyPI, and its digest.
  homepage "https://pypi.org/project/git-coderepo/"
  url "https://pypi.org/packages/source/g/git-coderepo/git_coderepo-0.1.0.tar.gz"
  sha256 "0000000000000000000000000000000000000000000000000000000000000000"
  license "Apache-2.0"

  depends_on "git"
  depends_on "python@3.13"

  def install
    virtualenv_install_with_resources
    man1.install "man/git-coderepo.1"
    generate_completions_from_executable(bin/"git-coderepo", "completion", shells: [:bash, :zsh, :fish])
  end

  test do
    assert_match "verified", shell_output("#{bin}/git-coderepo demo 2>&1")
  end
end
